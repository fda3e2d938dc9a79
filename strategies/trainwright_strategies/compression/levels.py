"""What a level of compression means for each unit of a model, and which points keep a budget."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from trainwright_strategies.compression.evolution import Space
from trainwright_strategies.compression.plain import pruned, quantized
from trainwright_strategies.compression.second_order import gptq, refuse_without_columns, sparsegpt
from trainwright_strategies.layers.mask import is_linear_map
from trainwright_strategies.patterns import fits

Kind = Literal["sparsity", "bits", "drop"]
Compressor = Literal["magnitude", "sparsegpt", "rounding", "gptq"]
Dropped = Literal["input", "zero"]

COMPRESSORS: dict[Kind, tuple[Compressor, ...]] = {
    "sparsity": ("magnitude", "sparsegpt"),
    "bits": ("rounding", "gptq"),
    "drop": (),
}


@dataclass(frozen=True)
class Compression:
    """What levels mean.

    Attributes:
        kind: see :class:`~trainwright_strategies.evopress.EvoPress`.
        target: share of weights pruned, bits for a weight, or share of blocks dropped.
        units: patterns of names of layers, or of blocks; none: all layers but the last.
        compressor: how a layer is brought to a level; None: the first of its kind.
        damping: of the second moments, for those that correct.
        dropped: what stands in the place of a block's output.
        step: share of the smallest unit's weights that one level of ``sparsity`` is.
        max_level: levels away from the target at most.

    Raises:
        ValueError: the target is out of range, or something is missing or is of another kind.
    """

    kind: Kind
    target: float
    units: tuple[str, ...] = ()
    compressor: Compressor | None = None
    damping: float = 0.01
    dropped: Dropped = "input"
    step: float = 0.05
    max_level: int = 3

    def __post_init__(self) -> None:
        low, high = (1, 16) if self.kind == "bits" else (0, 1)
        inside = low <= self.target <= high if self.kind == "bits" else low < self.target < high
        if not inside:
            allowed = "from 1 to 16" if self.kind == "bits" else "above 0 and below 1"
            raise ValueError(f"target must be {allowed} for {self.kind}, got {self.target!r}")
        if self.compressor and self.compressor not in COMPRESSORS[self.kind]:
            allowed = " or ".join(COMPRESSORS[self.kind]) or "left out"
            raise ValueError(
                f"compressor must be {allowed} for {self.kind}, got {self.compressor!r}"
            )
        if self.kind == "drop" and not self.units:
            raise ValueError("units must name the blocks that can be dropped")

    @property
    def has_uniform_point(self) -> bool:
        """Whether all units at one level keep the budget."""
        return self.kind == "sparsity" or (self.kind == "bits" and self.target == int(self.target))

    @property
    def corrects(self) -> bool:
        """Whether the weights that are left make good what is lost."""
        return self.compressor in ("sparsegpt", "gptq")

    def units_of(self, model: nn.Module) -> dict[str, nn.Module]:
        """The units of a model by name.

        Raises:
            ValueError: there are none, two share a weight, or the compressor cannot treat one.
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
        if self.corrects:
            refuse_without_columns(fitting)
        return fitting

    def space_of(self, model: nn.Module, max_total_deviation: int | None = None) -> Space:
        """The points of a model; raises as ``units_of`` and ``space`` do."""
        units = self.units_of(model)
        return self.space(self.sizes(units), list(units), max_total_deviation)

    def sizes(self, units: Mapping[str, Any]) -> list[int]:
        """The number of weights of each unit; of blocks 1."""
        return [1 if self.kind == "drop" else unit.weight.numel() for unit in units.values()]

    def space(
        self, sizes: Sequence[int], names: Sequence[str], max_total_deviation: int | None = None
    ) -> Space:
        """The points of units with these numbers of weights, and names.

        Raises:
            ValueError: the target cannot be met, or nothing can move.
        """
        spaces = {"drop": self._drops, "bits": self._bits, "sparsity": self._sparsities}
        space = spaces[self.kind](sizes, names, max_total_deviation)
        if all(len(group) < 2 for group in space.groups) or space.lowest == space.highest:
            raise ValueError("no two units can exchange a level")
        return space

    def _drops(self, sizes: Sequence[int], names: Sequence[str], bound: int | None) -> Space:
        groups = _groups([re.sub(r"\d+", "*", name) for name in names])
        start = [1] * len(sizes)
        for group in groups:
            dropped = int(self.target * len(group))
            if not dropped:
                pattern = f"{names[group[0]]!r} and its like"
                raise ValueError(f"target {self.target} drops 0 of {len(group)} blocks: {pattern}")
            for unit in group[:dropped]:
                start[unit] = 0
        n = len(sizes)
        return Space(tuple(start), (0,) * n, (1,) * n, groups, bound)

    def _bits(self, sizes: Sequence[int], names: Sequence[str], bound: int | None) -> Space:
        n = len(sizes)
        lowest = max(1, math.ceil(self.target - self.max_level))
        return Space(
            start=(math.ceil(self.target),) * n,
            lowest=(lowest,) * n,
            highest=(math.floor(self.target) + self.max_level,) * n,
            groups=_groups(sizes),
            max_total_deviation=bound,
            sizes=tuple(sizes),
            budget=None if self.has_uniform_point else int(self.target * sum(sizes)),
        )

    def _sparsities(self, sizes: Sequence[int], names: Sequence[str], bound: int | None) -> Space:
        levels = [self._levels(size, min(sizes)) for size in sizes]
        lowest = tuple(low for low, _ in levels)
        highest = tuple(high for _, high in levels)
        everything = (tuple(range(len(sizes))),)
        return Space((0,) * len(sizes), lowest, highest, everything, bound)

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

    def compressed(
        self, weight: Tensor, level: int, smallest: int, moments: Tensor | None = None
    ) -> Tensor:
        """A weight at a level.

        Args:
            weight: of a unit.
            level: see ``kind``.
            smallest: number of weights of the smallest unit.
            moments: of the unit's inputs, for a compressor that corrects.
        """
        if self.kind == "bits":
            if moments is None:
                return quantized(weight, level)
            return gptq(weight, moments, level, self.damping)
        count = self.num_pruned(weight.numel(), smallest, level)
        if moments is None:
            return pruned(weight, count)
        return sparsegpt(weight, moments, count, self.damping)


def _groups(keys: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    """The places of equal keys."""
    found: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return tuple(tuple(places) for places in found.values())


def _refuse_shared(model: nn.Module, units: Mapping[str, Any]) -> None:
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        if isinstance(weight := getattr(module, "weight", None), nn.Parameter):
            holders.setdefault(id(weight), []).append(name)
    shared = [name for name, unit in units.items() if len(holders[id(unit.weight)]) > 1]
    if shared:
        raise ValueError(f"other layers share the weights of {', '.join(shared)}: leave it out")
