"""Lightning's trainer.

PYTHON -m local.with_lightning LINE BLOCK WORK, started by ``local/measure.py`` with the Python of
Lightning's environment.
"""

from __future__ import annotations

import logging
from typing import Any

import lightning
import torch
from common.handover import Handover
from torch import Tensor

from local.work import Work, loss_of, serve


class Module(lightning.LightningModule):
    """The model as Lightning trains it; keeps the losses and does nothing with them."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.model = work.untrained()
        self.losses: list[Tensor] = []
        self._rate, self._steps = work.learning_rate, len(work.rows)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """The loss of one update."""
        x, y = batch
        loss = loss_of(self.model(x), y)
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        """The optimizer, and its schedule for each update."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self._rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class Turns(lightning.Callback):
    """Lets the others work before the first update and after every block of them."""

    def __init__(self, handover: Handover, block: int) -> None:
        self._handover = handover
        self._block = block

    def on_train_start(self, *_: Any) -> None:
        """All is ready."""
        self._handover.end_turn()

    def on_train_batch_end(self, *arguments: Any) -> None:
        """An update is done, whose number is the last argument."""
        if (arguments[-1] + 1) % self._block == 0:
            self._handover.end_turn()


class Fitted:
    """Trains by ``Trainer.fit`` in a thread, without all that is beside training."""

    def __init__(self, work: Work, block: int) -> None:
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        self._module = Module(work)
        handover = Handover()
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=1,
            gradient_clip_val=work.max_grad_norm,
            callbacks=[Turns(handover, block)],
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        handover.start(lambda: trainer.fit(self._module, work.loader()))
        self.turn = handover.turn

    @property
    def losses(self) -> list[Tensor]:
        """Of all updates so far."""
        return self._module.losses


if __name__ == "__main__":
    serve(Fitted)
