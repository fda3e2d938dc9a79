"""Where values stand on an axis, whatever their kind: numbers, their logarithms, or options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from trainwright.search.space.domain import Value, shown
from trainwright.search.space.numeric import LogIntegers, Steps, Uniform
from trainwright.search.space.options import Options
from trainwright.search.space.reading import Parameter
from trainwright.tracking.canvas import is_wide

_LONGEST = 18
"""Letters of an option's label."""

Tick = tuple[float, str]


@dataclass(frozen=True)
class Scale:
    """An axis from 0 to 1.

    Attributes:
        name: what is measured on it.
        low: least number.
        high: greatest number, above ``low``.
        log: whether numbers are alike by their ratio.
        whole: whether only whole numbers are there.
        options: labels of options instead of numbers, each with a piece of the axis; or None.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    options: Options | None = None

    @classmethod
    def of_parameter(cls, parameter: Parameter, seen: Sequence[Value]) -> Scale:
        """The scale of a parameter.

        Args:
            parameter: the parameter.
            seen: its values in trials, for the ends of a scale without bounds.
        """
        name, domain = parameter.name, parameter.domain
        if isinstance(domain, Options):
            return cls(name, options=domain)
        if isinstance(domain, (Uniform, Steps, LogIntegers)):
            whole = isinstance(domain, LogIntegers) or all(
                isinstance(number, int) for number in (domain.low, domain.step)
            )
            return cls(name, domain.low, domain.high, domain.log, whole)
        return cls._around(name, cast("Sequence[float]", seen), domain.log)

    @classmethod
    def of_numbers(cls, name: str, numbers: Sequence[float]) -> Scale:
        """The scale of measured numbers; a logarithmic one where they span two decades."""
        return cls._around(name, numbers, is_wide(numbers))

    @classmethod
    def _around(cls, name: str, numbers: Sequence[float], log: bool) -> Scale:
        low, high = min(numbers, default=1.0), max(numbers, default=2.0)
        if low == high:
            margin = 0.05 * abs(low) or 0.5
            low, high = low - margin, high + margin
        return cls(name, low, high, log)

    def place(self, value: Value) -> float:
        """Where a value stands, in [0, 1]."""
        if self.options is not None:
            return self.options.unit(value)
        low, high = self._stretched(self.low), self._stretched(self.high)
        return (self._stretched(cast(float, value)) - low) / (high - low)

    def spread(self, value: Value, number: int) -> float:
        """The same, with trials of one option beside one another.

        Args:
            value: the value.
            number: the trial's.
        """
        if self.options is None:
            return self.place(value)
        # Multiples of the golden ratio fill an interval evenly, however many there are.
        aside = (number * 0.6180339887498949) % 1.0 - 0.5
        return self.place(value) + 0.5 * aside / self.options.count

    def ticks(self) -> list[Tick]:
        """Places with what stands there."""
        if self.options is not None:
            labels = self.options.labels
            return [(self.place(label), _cut(shown(label))) for label in labels]
        numbers = self._decades() if self.log else self._round_numbers()
        return [(self.place(number), f"{number:g}") for number in numbers]

    def _stretched(self, number: float) -> float:
        return math.log(number) if self.log else number

    def _decades(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1,), (1, 2, 5), (1, 2, 3, 4, 5, 6, 7, 8, 9)):
            numbers = [f * 10.0**k for k in range(first, last + 1) for f in factors]
            inside = [n for n in numbers if self.low * (1 - 1e-9) <= n <= self.high * (1 + 1e-9)]
            if len(inside) >= 3:
                return inside[:: -(-len(inside) // 6)]
        return [self.low, self.high]

    def _round_numbers(self) -> list[float]:
        from matplotlib.ticker import MaxNLocator

        steps = [1, 2, 5, 10] if self.whole else [1, 2, 2.5, 5, 10]
        locator = MaxNLocator(nbins=5, steps=steps, integer=self.whole)
        margin = 1e-9 * (self.high - self.low)
        found = [float(number) for number in locator.tick_values(self.low, self.high)]
        return [n for n in found if self.low - margin <= n <= self.high + margin]


def wrapped(name: str, width: int = 14) -> str:
    """A parameter's name on several lines, broken at its dots and brackets."""
    lines = [""]
    for sign in name:
        if sign in ".[" and len(lines[-1]) >= width // 2 and len(name) > width:
            lines.append("")
        lines[-1] += sign
    return "\n".join(lines)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
