"""The loop of Accelerate's documentation.

PYTHON -m local.with_accelerate LINE BLOCK WORK, started by ``local/measure.py`` with the Python of
Accelerate's environment.
"""

from __future__ import annotations

from itertools import islice

import torch
from accelerate import Accelerator
from torch import Tensor

from local.work import Work, loss_of, serve


class Accelerated:
    """Trains; keeps the losses and does nothing with them."""

    def __init__(self, work: Work, block: int) -> None:
        self._work = work
        self._block = block
        self._accelerator = Accelerator(cpu=True)
        model = work.untrained()
        optimizer = torch.optim.AdamW(model.parameters(), lr=work.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(work.rows))
        prepared = self._accelerator.prepare(model, optimizer, work.loader(), schedule)
        self._model, self._optimizer, loader, self._schedule = prepared
        self._model.train()
        self._batches = iter(loader)
        self.losses: list[Tensor] = []

    def turn(self) -> None:
        """Do the updates of one turn."""
        for x, y in islice(self._batches, self._block):
            self._optimizer.zero_grad()
            loss = loss_of(self._model(x), y)
            self._accelerator.backward(loss)
            self._accelerator.clip_grad_norm_(self._model.parameters(), self._work.max_grad_norm)
            self._optimizer.step()
            self._schedule.step()
            self.losses.append(loss.detach())


if __name__ == "__main__":
    serve(Accelerated)
