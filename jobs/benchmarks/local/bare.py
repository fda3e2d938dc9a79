"""A training loop in plain PyTorch, as one writes it by hand.

python -m local.bare LINE BLOCK WORK, started by ``local/measure.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from local.work import Work, loss_of, serve


class Bare:
    """Trains; keeps the losses and does nothing with them."""

    def __init__(self, work: Work, block: int) -> None:
        self._work = work
        self._block = block
        self._model = work.untrained()
        self._parameters = list(self._model.parameters())
        self._optimizer = torch.optim.AdamW(self._parameters, lr=work.learning_rate)
        self.losses: list[Tensor] = []

    def turn(self) -> None:
        """Do the updates of one turn."""
        work, model, optimizer = self._work, self._model, self._optimizer
        first, steps = len(self.losses), len(work.rows)
        for step in range(first, first + self._block):
            rate = work.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
            rows = work.rows[step]
            loss = loss_of(model(work.x[rows]), work.y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._parameters, work.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            self.losses.append(loss.detach())


if __name__ == "__main__":
    serve(Bare)
