"""Layers at levels of compression, and how far the outputs then are from the whole model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainwright.procedure import TrainedRun
from trainwright_objectives.precision import at_least_float32
from trainwright_strategies.compression.evolution import Point, Space
from trainwright_strategies.layers.magnitude import prune
from trainwright_strategies.layers.mask import is_linear_map
from trainwright_strategies.patterns import fits

Kind = Literal["sparsity", "bits", "drop"]


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
        whole, compressed = whole[:, :-1], compressed[:, :-1]
    p = at_least_float32(whole).log_softmax(-1)
    q = at_least_float32(compressed).log_softmax(-1)
    divergences: Tensor = (p.exp() * (p - q)).sum(-1)
    return divergences.mean()


def quantized(weight: Tensor, bits: int) -> Tensor:
    """Each row rounded to the nearest of ``2^bits - 1`` values, symmetric around 0.

    With 1 bit the sign times the row's mean size.
    """
    rows = weight.flatten(1)
    if bits == 1:
        return (rows.sign() * rows.abs().mean(1, keepdim=True)).view_as(weight)
    largest = 2 ** (bits - 1) - 1
    scale = (rows.abs().amax(1, keepdim=True) / largest).clamp_min(torch.finfo(rows.dtype).tiny)
    rounded: Tensor = (rows / scale).round().clamp(-largest, largest) * scale
    return rounded.view_as(weight)


def pruned(weight: Tensor, count: int) -> Tensor:
    """The weight with its ``count`` smallest values set to zero."""
    mask = torch.ones_like(weight, dtype=torch.bool)
    return weight * prune(weight, mask, count / weight.numel())


@dataclass(frozen=True)
class Compression:
    """What levels mean.

    Attributes:
        kind: see :class:`~trainwright_strategies.evopress.EvoPress`.
        target: share of weights pruned, bits for a weight, or share of blocks dropped.
        units: patterns of names of layers, or of blocks; none: all layers but the last.
        step: share of the smallest unit's weights that one level of ``sparsity`` is.
        max_level: levels away from the target at most.
    """

    kind: Kind
    target: float
    units: tuple[str, ...] = ()
    step: float = 0.05
    max_level: int = 3

    def units_of(self, model: nn.Module) -> dict[str, nn.Module]:
        """The units of a model by name.

        Raises:
            ValueError: there are none, or two share a weight.
        """
        named = {n: m for n, m in model.named_modules() if n}
        if self.kind != "drop":
            named = {n: m for n, m in named.items() if is_linear_map(m)}
        fitting = {n: m for n, m in named.items() if fits(n, self.units)}
        if not self.units and self.kind != "drop":
            fitting = dict(list(named.items())[:-1])
        if len(fitting) < 2:
            raise ValueError(f"units {list(self.units)} name {len(fitting)} of the model's, not 2")
        if self.kind != "drop":
            _refuse_shared(model, fitting)
        return fitting

    def space(self, sizes: Sequence[int], max_total_deviation: int | None = None) -> Space:
        """The points of units with these numbers of weights.

        Raises:
            ValueError: the target cannot be met, or nothing can move.
        """
        n = len(sizes)
        groups: tuple[tuple[int, ...], ...] = (tuple(range(n)),)
        if self.kind == "drop":
            dropped = int(self.target * n)
            start = (0,) * dropped + (1,) * (n - dropped)
            lowest, highest = (0,) * n, (1,) * n
        elif self.kind == "bits":
            bits = round(self.target)
            start, lowest = (bits,) * n, (max(1, bits - self.max_level),) * n
            highest = (bits + self.max_level,) * n
            groups = tuple(
                tuple(unit for unit in range(n) if sizes[unit] == size)
                for size in dict.fromkeys(sizes)
            )
        else:
            start = (0,) * n
            levels = [self._levels(size, min(sizes)) for size in sizes]
            lowest = tuple(low for low, _ in levels)
            highest = tuple(high for _, high in levels)
        if all(len(group) < 2 for group in groups) or lowest == highest:
            raise ValueError("no two units can exchange a level")
        if self.kind == "drop" and not 0 < sum(start) < n:
            raise ValueError(f"target {self.target} drops {n - sum(start)} of {n} blocks")
        return Space(start, lowest, highest, groups, max_total_deviation)

    def _levels(self, size: int, smallest: int) -> tuple[int, int]:
        """The lowest and the highest level at which a unit has weights to prune and to keep."""
        uniform, step = self.num_pruned(size, smallest, 0), self._step(smallest)
        return (
            -min(self.max_level, uniform // step),
            min(self.max_level, (size - 1 - uniform) // step),
        )

    def _step(self, smallest: int) -> int:
        return max(1, round(self.step * smallest))

    def num_pruned(self, size: int, smallest: int, level: int) -> int:
        """How many of a unit's weights a level prunes; a step is as many in all of them."""
        return round(self.target * size) + level * self._step(smallest)

    def compressed(self, weight: Tensor, level: int, smallest: int) -> Tensor:
        """A weight at a level."""
        if self.kind == "bits":
            return quantized(weight, level)
        return pruned(weight, self.num_pruned(weight.numel(), smallest, level))


def _refuse_shared(model: nn.Module, units: Mapping[str, Any]) -> None:
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        if isinstance(weight := getattr(module, "weight", None), nn.Parameter):
            holders.setdefault(id(weight), []).append(name)
    shared = [name for name, unit in units.items() if len(holders[id(unit.weight)]) > 1]
    if shared:
        raise ValueError(f"other layers share the weights of {', '.join(shared)}: leave it out")


class Workbench:
    """The model of a run with its units at any levels, and calibration samples.

    Args:
        run: whose model is compressed.
        compression: what levels mean.
    """

    def __init__(self, run: TrainedRun, compression: Compression) -> None:
        self._run = run
        self._compression = compression
        self.model = run.model()
        self.units = compression.units_of(self.model)
        self._whole = {n: m.weight.detach().clone() for n, m in self._layers.items()}
        self.sizes = [weight.numel() for weight in self._whole.values()] or [1] * len(self.units)
        self._kept = dict.fromkeys(self.units, True)
        if compression.kind == "drop":
            for name, block in self.units.items():
                block.register_forward_hook(self._passing(name))
        self._splits: dict[str, tuple[dict[str, Tensor], Tensor]] = {}
        self._compressed = lru_cache(maxsize=None)(self._compress)

    @property
    def _layers(self) -> dict[str, Any]:
        return {} if self._compression.kind == "drop" else self.units

    def _passing(self, name: str) -> Any:
        def hand_on(block: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> Any:
            return outputs if self._kept[name] else inputs[0]

        return hand_on

    def _compress(self, name: str, level: int) -> Tensor:
        return self._compression.compressed(self._whole[name], level, min(self.sizes))

    def set(self, point: Point) -> nn.Module:
        """The model at a point; the same object each time."""
        for name, level in zip(self.units, point, strict=True):
            if self._compression.kind == "drop":
                self._kept[name] = level == 1
            else:
                self._layers[name].weight.data.copy_(self._compressed(name, level))
        return self.model

    @torch.no_grad()
    def divergences(
        self, points: Sequence[Point], split: str = "train", rows: Tensor | None = None
    ) -> list[float]:
        """KL divergence of the whole model's outputs from those at each point.

        Args:
            points: any.
            split: of the run's own data.
            rows: which of its samples; None for all.
        """
        samples, whole = self._samples(split)
        if rows is not None:
            samples, whole = {n: column[rows] for n, column in samples.items()}, whole[rows]
        found = []
        for point in points:
            outputs = self._run.forward(samples, self.set(point))
            found.append(float(kl_divergence(whole, outputs["logits"])))
        return found

    def _samples(self, split: str) -> tuple[dict[str, Tensor], Tensor]:
        if split not in self._splits:
            batches = list(self._run.batches(split))
            samples = {n: torch.cat([batch[n] for batch in batches]) for n in batches[0]}
            logits = [self._run.forward(batch)["logits"] for batch in batches]
            self._splits[split] = samples, torch.cat(logits)
        return self._splits[split]


@lru_cache(maxsize=2)
def workbench(run: TrainedRun, compression: Compression) -> Workbench:
    """One for all calls in a process."""
    return Workbench(run, compression)
