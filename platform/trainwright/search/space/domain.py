"""What every domain of a search space can do, whatever values it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from numpy.random import Generator

Value: TypeAlias = str | int | float | bool | None
"""A value of one parameter, as it stands in a history file."""

Number: TypeAlias = int | float

LAST = 1 - 2.0**-53
"""The largest position below 1, where the last of some equal pieces is found."""


class Domain(ABC):
    """The values that one parameter can take, and how likely each of them is.

    Every domain is a line of length 1 on which each value has its place: the share of draws that
    are less (for single values, the middle of their piece). Values are drawn uniformly on it.

    Attributes:
        kind: the word for it in a job file, such as ``loguniform``.
        is_numeric: whether values are numbers in an order.
    """

    kind: str
    is_numeric: bool = True

    @abstractmethod
    def unit(self, value: Value) -> float:
        """Where a value of this domain lies on the line, in [0, 1]."""

    @abstractmethod
    def from_unit(self, position: float) -> Value:
        """The value at a position in [0, 1]; the inverse of :meth:`unit`."""

    @abstractmethod
    def why_not(self, value: object) -> str | None:
        """Why ``value`` is none of this domain, or None if it is."""

    @abstractmethod
    def describe(self) -> str:
        """The domain for people: ``loguniform 0.0001 to 0.1``."""

    @property
    def log(self) -> bool:
        """Whether values are alike by their ratio rather than by their difference."""
        return self.kind.startswith("log")

    @property
    def count(self) -> int | None:
        """How many values there are; None where they are continuous."""
        return None

    def values(self) -> Iterator[Value]:
        """All values in order.

        Raises:
            ValueError: they are continuous.
        """
        raise ValueError(f"{self.describe()} is continuous and cannot be listed")

    def draw(self, rng: Generator) -> Value:
        """One value at random; takes one number from ``rng``."""
        return self.from_unit(float(rng.random()))


def shown(value: Value) -> str:
    """A value for people: six digits of a number, ``true`` as in YAML, ``none`` for nothing."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def is_number(value: object) -> bool:
    """Whether ``value`` is a number; ``True`` is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
