"""What all sides but ours are told to do, and the frame of their processes.

Nothing here imports Trainwright: peers run it in environments of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
import torch._dynamo  # an optimizer imports it, which is no memory of training
from common.pace import Pace
from common.peak import Growth
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from local.plain import MODELS


@dataclass(frozen=True)
class Work:
    """A model, its data, and which samples each update takes.

    Attributes:
        model: a key of ``MODELS``.
        weights: from which training starts, by name.
        x: inputs of all samples.
        y: what they are to be.
        rows: of each update's samples, shape (updates, samples of one).
        learning_rate: in the beginning; it falls by half a cosine to 0.
        max_grad_norm: to which the gradient is clipped.
    """

    model: str
    weights: dict[str, Tensor]
    x: Tensor
    y: Tensor
    rows: Tensor
    learning_rate: float
    max_grad_norm: float

    def save(self, file: Path) -> None:
        """Write it, for every side to read."""
        torch.save(vars(self), file)

    @classmethod
    def load(cls, file: Path) -> Work:
        """Read what :meth:`save` wrote."""
        return cls(**torch.load(file, weights_only=True))

    def untrained(self) -> nn.Module:
        """The model with the weights from which training starts."""
        model = MODELS[self.model]()
        model.load_state_dict(self.weights)
        return model

    def loader(self) -> DataLoader[Any]:
        """The samples of all updates in order; torch's loader puts no batches together itself."""
        return DataLoader(Updates(self), batch_size=None)


class Updates(Dataset[tuple[Tensor, Tensor]]):
    """Takes all samples of an update out of the tensors at once, the fastest way there is."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __len__(self) -> int:
        return len(self._work.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rows = self._work.rows[index]
        return self._work.x[rows], self._work.y[rows]


def loss_of(logits: Tensor, y: Tensor) -> Tensor:
    """The mean cross-entropy of logits (..., classes) over all targets (...)."""
    return functional.cross_entropy(logits.flatten(0, -2), y.flatten())


class Training(Protocol):
    """One side.

    Attributes:
        losses: of all updates so far.
    """

    losses: Sequence[Tensor | float]

    def turn(self) -> None:
        """Do the updates of one turn."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a side hands over at its end.

    Attributes:
        losses: of all updates.
        grown_bytes: how far its memory grew over what it was when the samples were there.
    """

    losses: list[float]
    grown_bytes: int


def growth() -> Growth:
    """Growth from now on, beside what torch keeps for itself once it has trained anything."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 9, 512))
    model(torch.randn(64, 3, 5, 5)).square().mean().backward()
    torch.optim.AdamW(model.parameters()).step()
    del model
    return Growth()


def serve(side: Callable[[Work, int], Training]) -> None:
    """Serve the benchmark at the other end of the line: ``LINE BLOCK WORK`` on the command line.

    Args:
        side: is made of the work and the number of updates in a turn.
    """
    line, block, file = sys.argv[1:]
    torch.set_num_threads(1)
    pace = Pace(Connection(int(line)))
    work = Work.load(Path(file))
    grown = growth()
    training = side(work, int(block))
    pace.serve(training.turn)
    pace.end(Answer([float(loss) for loss in training.losses], grown.bytes()))
