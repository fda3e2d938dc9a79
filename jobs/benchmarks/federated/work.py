"""The work of the federated benchmark, and one client's part of it in plain PyTorch.

Nothing here imports Trainwright: the sides that are measured against it read the same file of
samples, owners and starting weights, and train clients with the class below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from common.pace import Pace
from torch import Tensor, nn
from torch.nn import functional

FEATURES, HIDDEN, CLASSES = 64, 64, 10
BATCH = 8
LEARNING_RATE = 0.5


@dataclass(frozen=True)
class Work:
    """Who trains on what, and from where.

    Attributes:
        x: samples of all clients, shape (n, 64), float32.
        y: their classes, shape (n,), int64.
        clients: the rows of each client.
        weights: of the model in the beginning, shape (d,), float32: matrices and biases of both
            layers in the order of ``module.parameters()``.
    """

    x: Tensor
    y: Tensor
    clients: list[Tensor]
    weights: Tensor

    def save(self, file: Path) -> None:
        """Write it, for every side to read."""
        sizes = np.array([len(rows) for rows in self.clients])
        rows = torch.cat(self.clients).numpy()
        arrays = {"x": self.x.numpy(), "y": self.y.numpy(), "weights": self.weights.numpy()}
        np.savez(file, **arrays, rows=rows, sizes=sizes)

    @classmethod
    def load(cls, file: Path) -> Work:
        """Read what :meth:`save` wrote."""
        with np.load(file) as arrays:
            x, y, rows, weights = (
                torch.from_numpy(arrays[n]) for n in ("x", "y", "rows", "weights")
            )
            return cls(x, y, list(rows.split(arrays["sizes"].tolist())), weights)

    def accuracy(self, weights: Tensor) -> float:
        """The share of all samples that a model with the weights (d,) gets right."""
        client = LocalTraining(self)
        client.put(client.cut(weights))
        with torch.no_grad():
            return float((client.model(self.x).argmax(dim=1) == self.y).double().mean())


class LocalTraining:
    """Trains one client after another: one model and one optimizer for all of them.

    Args:
        work: whose clients.
        by_hand: make the step of SGD without ``torch.optim``, the fastest form that was found.
    """

    def __init__(self, work: Work, by_hand: bool = False) -> None:
        layers = nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
        self.model = nn.Sequential(*layers)
        self.parameters = list(self.model.parameters())
        self._work = work
        self._by_hand = by_hand
        self._optimizer = torch.optim.SGD(self.parameters, lr=LEARNING_RATE)

    def cut(self, weights: Tensor) -> list[Tensor]:
        """A vector (d,) as views of the parameters' shapes."""
        parts = weights.split([p.numel() for p in self.parameters])
        return [part.view_as(p) for part, p in zip(parts, self.parameters, strict=True)]

    @torch.no_grad()
    def put(self, weights: list[Tensor]) -> None:
        """Let the model have these weights."""
        torch._foreach_copy_(self.parameters, weights)

    def __call__(self, client: int, weights: list[Tensor]) -> int:
        """Train on a client's samples once, from these weights; how many samples there were."""
        self.put(weights)
        for x, y in self.batches(client):
            self._step(functional.cross_entropy(self.model(x), y))
        return len(self._work.clients[client])

    def batches(self, client: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A client's samples once, in a new order."""
        rows = self._work.clients[client]
        rows = rows[torch.randperm(len(rows))]
        return zip(self._work.x[rows].split(BATCH), self._work.y[rows].split(BATCH), strict=True)

    def _step(self, loss: Tensor) -> None:
        if self._by_hand:
            gradients = torch.autograd.grad(loss, self.parameters)
            with torch.no_grad():
                torch._foreach_add_(self.parameters, gradients, alpha=-LEARNING_RATE)
            return
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()


class Keeping(Pace):
    """The end of the line at a side, which keeps the weights of one round.

    Args:
        line: to the benchmark.
        keep_after: rounds after which the weights are kept.
    """

    def __init__(self, line: Connection, keep_after: int) -> None:
        super().__init__(line)
        self._keep_after = keep_after
        self._kept: Tensor | None = None

    def keep(self, rounds: int, weights: Tensor) -> None:
        """Keep the weights if just so many rounds are done."""
        if rounds == self._keep_after:
            self._kept = weights.clone()

    def hand_over(self) -> None:
        """Give the weights that were kept; None if there were too few rounds."""
        self.end(None if self._kept is None else self._kept.numpy())
