"""A model with its units at any levels, and how far its outputs then are from the whole one's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainwright.procedure import ProcedureContext
from trainwright_objectives.distillation_kl import distillation_kl
from trainwright_objectives.precision import at_least_float32
from trainwright_strategies.compression.database import Database
from trainwright_strategies.compression.evolution import Point

Fitness = Literal["kl", "loss"]


def kl_divergence(whole: Tensor, compressed: Tensor) -> Tensor:
    """Mean over rows of KL(softmax(whole) || softmax(compressed)), in float32 at least.

    Args:
        whole: logits, shape (B, V), or (B, T, V): of sequences the last position is left out.
        compressed: of the same shape.

    Example:
        >>> whole = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
        >>> compressed = torch.tensor([[1.0, 0.5, -1.0], [0.0, 0.5, 0.5]])
        >>> round(float(kl_divergence(whole, compressed)), 6)
        0.130236
    """
    if whole.ndim == 3:
        whole, compressed = whole[:, :-1].flatten(0, 1), compressed[:, :-1].flatten(0, 1)
    return distillation_kl(at_least_float32(compressed), at_least_float32(whole), 1.0).mean()


@dataclass(frozen=True)
class Samples:
    """Samples with what the whole model says of them.

    Attributes:
        columns: of the samples.
        logits: of the whole model; with ``classes`` the largest ones.
        classes: to which they belong, of the same shape; None: all in their order.
    """

    columns: dict[str, Tensor]
    logits: Tensor
    classes: Tensor | None

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, rows: Any) -> Samples:
        """Some of them."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        classes = None if self.classes is None else self.classes[rows]
        return Samples(columns, self.logits[rows], classes)

    def chunks(self, size: int) -> Iterator[Samples]:
        """All of them, in portions."""
        return (self.take(slice(first, first + size)) for first in range(0, len(self), size))

    def divergence(self, logits: Tensor) -> Tensor:
        """KL divergence of the whole model from these logits."""
        compared = logits if self.classes is None else logits.gather(-1, self.classes)
        return kl_divergence(self.logits, compared)


class Workbench:
    """The model of a run with its units at any levels, and calibration samples.

    Args:
        database: of its layers.
        top_k: classes by which models are compared, the most probable ones; None: all.
    """

    def __init__(self, database: Database, top_k: int | None = None) -> None:
        self._run = database.run
        self._compression = database.compression
        self._top_k = top_k
        self.model = self._run.model()
        self.units: dict[str, Any] = self._compression.units_of(self.model)
        self._kept = dict.fromkeys(self.units, True)
        if self._compression.kind == "drop":
            for name, block in self.units.items():
                block.register_forward_hook(self._dropping(name))
        self._levels = lru_cache(maxsize=None)(database.levels)
        self._samples = lru_cache(maxsize=None)(self._read)

    def _dropping(self, name: str) -> Any:
        def hand_on(block: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> Any:
            if self._kept[name]:
                return outputs
            first, *others = outputs if isinstance(outputs, tuple) else (outputs,)
            instead = inputs[0] if self._compression.dropped == "input" else torch.zeros_like(first)
            return (instead, *others) if isinstance(outputs, tuple) else instead

        return hand_on

    def set(self, point: Point) -> nn.Module:
        """The model at a point; the same object each time."""
        for name, level in zip(self.units, point, strict=True):
            if self._compression.kind == "drop":
                self._kept[name] = level == 1
            else:
                self.units[name].weight.data.copy_(self._levels(name)[level])
        return self.model

    @torch.no_grad()
    def measured(
        self,
        points: Sequence[Point],
        fitness: Fitness = "kl",
        split: str = "train",
        rows: Tensor | None = None,
    ) -> list[float]:
        """The fitness of each point, the less the better.

        Args:
            points: any.
            fitness: ``kl``, divergence of the whole model's outputs from those at the point; or
                ``loss``, the objective of the run.
            split: of the run's own data.
            rows: which of its samples; None for all.
        """
        samples, size = self._samples(split)
        samples = samples if rows is None else samples.take(rows)
        found = []
        for point in points:
            model = self.set(point)
            total = 0.0
            for chunk in samples.chunks(size):
                if fitness == "kl":
                    logits = self._run.forward(chunk.columns, model)["logits"]
                    total += len(chunk) * float(chunk.divergence(logits))
                else:
                    total += len(chunk) * float(self._run.loss(chunk.columns, model))
            found.append(total / len(samples))
        return found

    def _read(self, split: str) -> tuple[Samples, int]:
        """All samples of a split, and how many fit into one forward pass."""
        batches = list(self._run.batches(split))
        columns = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        logits, classes = [], []
        with torch.no_grad():
            for batch in batches:
                found = self._run.forward(batch)["logits"]
                if self._top_k is not None:
                    found, indices = found.topk(min(self._top_k, found.shape[-1]), dim=-1)
                    classes.append(indices)
                logits.append(found)
        size = len(logits[0])
        return Samples(columns, torch.cat(logits), torch.cat(classes) if classes else None), size


@lru_cache(maxsize=2)
def workbench(database: Database, top_k: int | None = None) -> Workbench:
    """One for all calls in a process."""
    return Workbench(database, top_k)


@dataclass(frozen=True)
class Evaluation:
    """Measures points on samples; it can travel to another process.

    Attributes:
        database: of the layers.
        fitness: see :meth:`Workbench.measured`.
        top_k: see :class:`Workbench`.
        split: of the run's data.
        rows: which of its samples; None for all.
    """

    database: Database
    fitness: Fitness = "kl"
    top_k: int | None = None
    split: str = "train"
    rows: Tensor | None = None

    def __call__(self, points: Sequence[Sequence[int]]) -> list[float]:
        """The fitness of each point."""
        bench = workbench(self.database, self.top_k)
        return bench.measured(
            [tuple(point) for point in points], self.fitness, self.split, self.rows
        )


def side_by_side(
    context: ProcedureContext,
    evaluation: Evaluation,
    points: Sequence[Point],
    pieces: int,
    name: str,
) -> list[float]:
    """The fitness of many points, cut into pieces that several workers share."""
    size = -(-len(points) // pieces)
    parts = [list(points[first : first + size]) for first in range(0, len(points), size)]
    return [value for part in context.map(evaluation, parts, name=name) for value in part]
