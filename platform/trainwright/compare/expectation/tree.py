"""An ``expect:`` line as it was understood."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

MOMENTS = ("final", "first", "best", "min", "max", "mean", "tail")
"""Parts of a run that a quantity can be taken at, besides a step."""


@dataclass(frozen=True)
class Quantity:
    """Something that a run recorded, at one moment of it.

    Attributes:
        name: for example ``validation/accuracy``.
        moment: one of ``MOMENTS``, or a step.
    """

    name: str
    moment: str | int = "final"

    def __str__(self) -> str:
        return self.name if self.moment == "final" else f"{self.name}@{self.moment}"


class Node:
    """A part of a line."""

    @property
    def is_per_seed(self) -> bool:
        """Whether it has one value for each seed, rather than one value."""
        return any(part.is_per_seed for part in self.parts)

    @property
    def parts(self) -> tuple[Node, ...]:
        """What it is made of."""
        return ()

    def uses(self, functions: Collection[str]) -> bool:
        """Whether one of these functions over seeds is in it."""
        return any(part.uses(functions) for part in self.parts)

    def leaves(self) -> Iterator[Values]:
        """Every mention of a quantity inside it."""
        for part in self.parts:
            yield from part.leaves()


@dataclass(frozen=True)
class Number(Node):
    """A number as written."""

    value: float


@dataclass(frozen=True)
class Values(Node):
    """A quantity of one variant, for each seed."""

    quantity: Quantity
    variant: str

    @property
    def is_per_seed(self) -> bool:
        """Yes."""
        return True

    def leaves(self) -> Iterator[Values]:
        """Itself."""
        yield self


@dataclass(frozen=True)
class Over(Node):
    """One number of the values of all seeds: ``mean``, ``lower``..."""

    function: str
    inner: Node

    @property
    def is_per_seed(self) -> bool:
        """No."""
        return False

    @property
    def parts(self) -> tuple[Node, ...]:
        """What it is taken over."""
        return (self.inner,)

    def uses(self, functions: Collection[str]) -> bool:
        """Whether it is, or holds, one of these functions."""
        return self.function in functions or super().uses(functions)


@dataclass(frozen=True)
class Sign(Node):
    """``-inner`` or ``abs(inner)``."""

    function: Literal["-", "abs"]
    inner: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        """What it changes."""
        return (self.inner,)


@dataclass(frozen=True)
class Arithmetic(Node):
    """``left operator right``."""

    operator: str
    left: Node
    right: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        """Both sides."""
        return (self.left, self.right)


@dataclass(frozen=True)
class Line:
    """A whole expectation.

    Attributes:
        text: as written.
        sides: two or more.
        operators: between them, one fewer.
        share: part of the seeds for which it must hold; None where the sides are single numbers.
    """

    text: str
    sides: tuple[Node, ...]
    operators: tuple[str, ...]
    share: Fraction | None

    @property
    def leaves(self) -> list[Values]:
        """Every mention of a quantity, in order."""
        return [leaf for side in self.sides for leaf in side.leaves()]

    @property
    def variants(self) -> list[str]:
        """The variants it speaks of, each once."""
        return list(dict.fromkeys(leaf.variant for leaf in self.leaves))
