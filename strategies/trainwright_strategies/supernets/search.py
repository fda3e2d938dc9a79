"""Searches over paths: which ones to score next, given the scores so far. Larger is better."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Generator

from trainwright_strategies.supernets.space import Path, PathSpace

Fits = Callable[[Path], bool]
"""Whether a path may be scored at all."""

_TRIES = 1000
"""Draws for each new path that is wanted: of a small space few may be left."""
_AT_ONCE = 256
"""Paths in a generation of a search that learns nothing from them."""


class Search:
    """Proposes given paths, and then those that a subclass draws; none twice.

    Args:
        space: the paths.
        fits: which of them may be proposed.
        first: proposed before all others.
    """

    def __init__(self, space: PathSpace, fits: Fits, first: Iterable[Path] = ()) -> None:
        self.space = space
        self.fits = fits
        self._first = iter(first)
        self._proposed: set[Path] = set()

    @property
    def size(self) -> int:
        """Paths in the next generation."""
        return _AT_ONCE

    def propose(self, count: int, generator: Generator) -> list[Path]:
        """Up to ``count`` paths; none when there are no more, or none is found any more."""
        found: list[Path] = []
        for _ in range(_TRIES * count):
            if len(found) == count:
                break
            path = next(self._first, None) or self._drawn(generator)
            if path is None:
                break
            if path not in self._proposed and self.fits(path):
                self._proposed.add(path)
                found.append(path)
        return found

    def learn(self, paths: Sequence[Path], scores: Sequence[float]) -> None:
        """Take scores of proposed paths into account; some may have been left out."""

    def _drawn(self, generator: Generator) -> Path | None:
        """A path, new or not; None: there are no more."""
        return None


class RandomSearch(Search):
    """Paths drawn uniformly."""

    def _drawn(self, generator: Generator) -> Path:
        return self.space.random(generator)


class Evolution(Search):
    """Regularised (aging) evolution: children of tournament winners replace the oldest.

    After ``population`` random paths each path is a child: of ``tournament`` members, drawn with
    replacement, the best is changed at one edge, and again while it is known. Scored children
    join the population, and as many of its oldest members leave it, whatever their score.

    Args:
        space: the paths.
        fits: which of them may be proposed.
        population: its size, at least 1.
        tournament: members in each, at least 1.
        offspring: children in a generation, at least 1; all have parents of the same population.
        first: proposed before all others.
    """

    def __init__(
        self,
        space: PathSpace,
        fits: Fits,
        population: int,
        tournament: int,
        offspring: int,
        first: Iterable[Path] = (),
    ) -> None:
        super().__init__(space, fits, first)
        self.members: deque[tuple[Path, float]] = deque(maxlen=population)
        self._population = population
        self._tournament = tournament
        self._offspring = offspring
        self._breeds = False

    @property
    def size(self) -> int:
        """The population at first, then the offspring."""
        return self._offspring if self._breeds else self._population

    def learn(self, paths: Sequence[Path], scores: Sequence[float]) -> None:
        """The scored paths join, the oldest members leave."""
        self.members.extend(zip(paths, scores, strict=True))
        self._breeds = bool(self.members)

    def _drawn(self, generator: Generator) -> Path:
        if not self._breeds:
            return self.space.random(generator)
        chosen = torch.randint(len(self.members), (self._tournament,), generator=generator)
        winner, _ = max((self.members[index] for index in chosen.tolist()), key=lambda m: m[1])
        child = self.space.mutate(winner, generator)
        for _ in range(self.space.edges):  # all neighbours may be known
            if child not in self._proposed:
                break
            child = self.space.mutate(child, generator)
        return child
