"""Architectures as paths: one of the same operations for each edge; pure functions of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator

from trainwright.suggest import one_of

Path = tuple[int, ...]
"""For each edge the index of its operation."""


@dataclass(frozen=True)
class PathSpace:
    """All paths of a supernet: O operations at each of E edges.

    Random numbers come from the generator that is given, which must be on the CPU.

    Attributes:
        operations: their names, different ones, at least one.
        edges: E, the number of choices, at least 1.

    Raises:
        ValueError: there are none, or a name is there twice.

    Example:
        >>> space = PathSpace(("skip", "conv"), edges=2)
        >>> list(space.all())
        [(0, 0), (0, 1), (1, 0), (1, 1)]
        >>> space.name((0, 1))
        'skip|conv'
    """

    operations: tuple[str, ...]
    edges: int

    def __post_init__(self) -> None:
        names = self.operations
        if not names or len(set(names)) < len(names) or self.edges < 1:
            raise ValueError(
                "a space needs at least one edge, and at least one operation, of different names; "
                f"got {self.edges} edges and {list(names)}"
            )

    @property
    def count(self) -> int:
        """How many paths there are, ``O ** E``."""
        return int(len(self.operations) ** self.edges)

    def all(self) -> Iterator[Path]:
        """Every path once, in the order of their indices; the last edge changes first."""
        return itertools.product(range(len(self.operations)), repeat=self.edges)

    def check(self, path: Sequence[int]) -> Path:
        """The path, found to be one of this space.

        Raises:
            ValueError: it is none; the message says what is wrong.
        """
        found = tuple(path)
        if len(found) != self.edges:
            raise ValueError(
                f"a path has one operation for each of {self.edges} edges, got {len(found)}: "
                f"{list(found)}"
            )
        wrong = [one for one in found if not 0 <= one < len(self.operations)]
        if wrong:
            named = [f"{index} ({name})" for index, name in enumerate(self.operations)]
            raise ValueError(f"there is no operation {wrong[0]}; allowed: {one_of(named)}")
        return found

    def name(self, path: Sequence[int]) -> str:
        """The names of a path's operations, with ``|`` between them."""
        return "|".join(self.operations[index] for index in path)

    def random(self, generator: Generator) -> Path:
        """A path drawn uniformly: each edge on its own."""
        drawn: list[int] = torch.randint(
            len(self.operations), (self.edges,), generator=generator
        ).tolist()
        return tuple(drawn)

    def mutate(self, path: Sequence[int], generator: Generator) -> Path:
        """The path with another operation at one edge, both drawn uniformly.

        Raises:
            ValueError: the space has one operation, so there is no other path.
        """
        if len(self.operations) < 2:
            raise ValueError("with one operation there is no other path")
        edge = int(torch.randint(self.edges, (), generator=generator))
        moved = 1 + int(torch.randint(len(self.operations) - 1, (), generator=generator))
        other = (path[edge] + moved) % len(self.operations)
        return (*path[:edge], other, *path[edge + 1 :])

    def crossover(self, first: Sequence[int], second: Sequence[int], generator: Generator) -> Path:
        """At each edge the operation of one of two paths, drawn evenly."""
        ours = torch.randint(2, (self.edges,), generator=generator).tolist()
        pairs = zip(ours, first, second, strict=True)
        return tuple(a if is_first else b for is_first, a, b in pairs)
