"""What an algorithm of a sweep does: it proposes assignments, and is told what came of them."""

from __future__ import annotations

from typing import Protocol

from trainwright.search.space.space import Assignment
from trainwright.search.trials import Trial


class Algorithm(Protocol):
    """Proposes the trials of a sweep, no assignment twice."""

    def propose(self, number: int) -> Assignment | None:
        """The assignment of a trial; None when nothing is left to try.

        Args:
            number: of the trial; each is asked for once, in order, from the first one that no
                earlier attempt of the sweep has proposed.
        """
        ...

    def told(self, trial: Trial) -> None:
        """Learn of a trial: of one that has ended, or of one that an earlier attempt began."""
        ...
