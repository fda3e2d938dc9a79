"""Domains of numbers: continuous between two bounds, in equal steps, or around a mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Literal, cast

from trainwright.search.space.domain import LAST, Domain, Number, Value, is_number, shown


@dataclass(frozen=True)
class Uniform(Domain):
    """All numbers from ``low`` to ``high``, uniformly or (``loguniform``) by their logarithm.

    Attributes:
        low: least value; above 0 for ``loguniform``.
        high: greatest value.
        kind: which of the two.
    """

    low: float
    high: float
    kind: Literal["uniform", "loguniform"] = "uniform"
    step = None

    def unit(self, value: Value) -> float:
        """See the base class."""
        number = cast(float, value)
        if self.log:
            return _share(math.log(number), math.log(self.low), math.log(self.high))
        return _share(number, self.low, self.high)

    def from_unit(self, position: float) -> float:
        """See the base class."""
        if self.log:
            logarithm = _between(math.log(self.low), math.log(self.high), position)
            return _clipped(_exp(logarithm), self.low, self.high)
        return _clipped(_between(self.low, self.high, position), self.low, self.high)

    def why_not(self, value: object) -> str | None:
        """See the base class."""
        return _outside(value, self.low, self.high)

    def describe(self) -> str:
        """See the base class."""
        return f"{self.kind} {shown(self.low)} to {shown(self.high)}"


@dataclass(frozen=True)
class Steps(Domain):
    """The numbers low, low + step, ... up to ``high``, all equally likely.

    They are reckoned in decimals, so that steps of 0.1 give 0.3 and not 0.30000000000000004.

    Attributes:
        low: least value.
        high: greatest value, a whole number of steps above ``low``.
        step: distance of neighbours, above 0.
        kind: ``int``, or ``quantised``, whose values are whole only if all three numbers are.
    """

    low: Number
    high: Number
    step: Number = 1
    kind: Literal["int", "quantised"] = "int"

    @property
    def count(self) -> int:
        """How many values there are."""
        return steps_between(self.low, self.high, self.step)[0] + 1

    def values(self) -> Iterator[Value]:
        """See the base class."""
        return (self._value(index) for index in range(self.count))

    def unit(self, value: Value) -> float:
        """See the base class."""
        return (self._index(cast(float, value)) + 0.5) / self.count

    def from_unit(self, position: float) -> Value:
        """See the base class."""
        return self._value(int(min(position, LAST) * self.count))

    def why_not(self, value: object) -> str | None:
        """See the base class."""
        if reason := _outside(value, self.low, self.high):
            return reason
        number = cast(float, value)
        if self._value(self._index(number)) == number:
            return None
        return f"{shown(number)} is none of {shown(self.low)} + whole steps of {shown(self.step)}"

    def describe(self) -> str:
        """See the base class."""
        steps = "" if self.step == 1 else f" in steps of {shown(self.step)}"
        return f"{self.kind} {shown(self.low)} to {shown(self.high)}{steps}"

    def _value(self, index: int) -> Value:
        value = decimal(self.low) + index * decimal(self.step)
        whole = isinstance(self.low, int) and isinstance(self.step, int)
        return int(value) if whole else float(value)

    def _index(self, number: float) -> int:
        return steps_between(self.low, number, self.step)[0]


@dataclass(frozen=True)
class LogIntegers(Domain):
    """The whole numbers from ``low`` to ``high``, each as likely as its piece of the logarithm.

    Attributes:
        low: least value, at least 1.
        high: greatest value.
    """

    low: int
    high: int
    kind = "logint"
    step = 1

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def values(self) -> Iterator[Value]:
        """See the base class."""
        return iter(range(self.low, self.high + 1))

    def unit(self, value: Value) -> float:
        """See the base class."""
        return _share(math.log(cast(int, value)), *self._ends)

    def from_unit(self, position: float) -> Value:
        """See the base class."""
        number = round(math.exp(_between(*self._ends, position)))
        return max(self.low, min(number, self.high))

    def why_not(self, value: object) -> str | None:
        """See the base class."""
        if reason := _outside(value, self.low, self.high):
            return reason
        return None if int(cast(float, value)) == value else f"{value!r} is no whole number"

    def describe(self) -> str:
        """See the base class."""
        return f"{self.kind} {self.low} to {self.high}"

    @property
    def _ends(self) -> tuple[float, float]:
        """Logarithms between which the whole numbers are rounded, half a number wider."""
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


@dataclass(frozen=True)
class Normal(Domain):
    """Numbers around a mean, unbounded; of ``lognormal`` the logarithm is normal.

    An algorithm that needs bounds can choose a position in [0, 1] for :meth:`from_unit`.

    Attributes:
        mean: mean, of the logarithm for ``lognormal``.
        sd: standard deviation, above 0, of the logarithm for ``lognormal``.
        kind: which of the two.
    """

    mean: float
    sd: float
    kind: Literal["normal", "lognormal"] = "normal"

    def unit(self, value: Value) -> float:
        """See the base class."""
        number = cast(float, value)
        return NormalDist(self.mean, self.sd).cdf(math.log(number) if self.log else number)

    def from_unit(self, position: float) -> float:
        """See the base class."""
        number = NormalDist(self.mean, self.sd).inv_cdf(_clipped(position, 2.0**-54, LAST))
        return _exp(number) if self.log else number

    def why_not(self, value: object) -> str | None:
        """See the base class."""
        return _outside(value, math.ulp(0.0) if self.log else -math.inf, math.inf)

    def describe(self) -> str:
        """See the base class."""
        of = " of the logarithm" if self.log else ""
        return f"{self.kind}, mean {shown(self.mean)} and sd {shown(self.sd)}{of}"


def decimal(number: Number) -> Decimal:
    """The number as it is written."""
    return Decimal(repr(number))


def steps_between(low: Number, high: Number, step: Number) -> tuple[int, bool]:
    """Number of whole steps from ``low`` to ``high``, and whether they end there."""
    steps, rest = divmod(decimal(high) - decimal(low), decimal(step))
    return int(steps), not rest


def _outside(value: object, low: float, high: float) -> str | None:
    if not is_number(value) or not math.isfinite(cast(float, value)):
        return f"{value!r} is no number"
    if low <= cast(float, value) <= high:
        return None
    if math.isinf(high):
        return f"{value!r} is not above 0"
    return f"{value!r} is not from {shown(low)} to {shown(high)}"


def _between(low: float, high: float, position: float) -> float:
    return low * (1 - position) + high * position


def _share(number: float, low: float, high: float) -> float:
    """How far ``number`` is on the way from ``low`` to ``high``, in [0, 1]."""
    span = high - low
    if math.isinf(span):
        return _share(number / 2, low / 2, high / 2)
    return _clipped((number - low) / span, 0.0, 1.0) if span else 0.0


def _clipped(number: float, low: float, high: float) -> float:
    return max(low, min(number, high))


def _exp(number: float) -> float:
    """The exponential, kept finite and above 0."""
    return math.exp(_clipped(number, -700.0, 709.0))
