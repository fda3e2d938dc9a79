"""Proposals that do not depend on what came of others: a grid, or draws at random."""

from __future__ import annotations

from collections.abc import Iterator

from trainwright.search.space.options import identity
from trainwright.search.space.sampling import Sampler
from trainwright.search.space.space import Assignment
from trainwright.search.trials import Trial

MOST_REPEATS = 1000
"""Draws in a row that have all been tried, after which the space counts as exhausted."""


class Listed:
    """Takes one assignment after another from a list that is the same in every attempt."""

    def __init__(self, assignments: Iterator[Assignment]) -> None:
        self._rest = assignments
        self._known: list[Assignment] = []

    def propose(self, number: int) -> Assignment | None:
        """See :class:`trainwright.search.algorithms.protocol.Algorithm`."""
        while len(self._known) <= number:
            following = next(self._rest, None)
            if following is None:
                return None
            self._known.append(following)
        return self._known[number]

    def told(self, trial: Trial) -> None:
        """Nothing is learnt."""


def grid(sampler: Sampler) -> Iterator[Assignment]:
    """Every combination that fulfils the constraints, the first parameter changing slowest."""
    return (found for found in sampler.space.grid() if sampler.fulfils(found))


def draws(sampler: Sampler) -> Iterator[Assignment]:
    """Draws at random without those that were drawn before; ends where there are no others."""
    seen: set[str] = set()
    number, repeats = 0, 0
    while repeats < MOST_REPEATS:
        drawn = sampler.draw(number)
        number += 1
        if (key := identity(drawn)) in seen:
            repeats += 1
            continue
        seen.add(key)
        repeats = 0
        yield drawn
