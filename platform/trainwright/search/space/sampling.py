"""Random trials: what trial N of a seed is depends on nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainwright.errors import JobError, Problem
from trainwright.search.space.constraints import Constraint, violated
from trainwright.search.space.domain import Value
from trainwright.search.space.names import named_values
from trainwright.search.space.reading import Parameter
from trainwright.search.space.space import Assignment, Space

MOST_DRAWS = 1000
"""Draws in a row that violate a constraint, after which the space is given up."""


@dataclass(frozen=True)
class Sampler:
    """Draws trials at random.

    Trials stand in blocks as long as the grid parameters have combinations: all trials of a block
    share the draw of the other parameters (as far as constraints let them), and each has another
    combination, so that combinations are compared on the same draws.

    Attributes:
        space: what is drawn from.
        seed: of all trials, at least 0.
        constraints: what every trial fulfils.
        base: the job that is changed, for constraints that speak of it.
    """

    space: Space
    seed: int
    constraints: Sequence[Constraint] = ()
    base: Mapping[str, Any] | None = None

    def draw(self, number: int) -> Assignment:
        """The trial of a number, counted from 0.

        Raises:
            JobError: ``MOST_DRAWS`` draws violate a constraint, with how often each of them did.
        """
        import numpy as np

        block, place = divmod(number, len(self.combinations))
        seeds = np.random.SeedSequence(self.seed, spawn_key=(block,))
        rng = np.random.Generator(np.random.Philox(seeds))
        failures: Counter[Constraint] = Counter()
        for _ in range(MOST_DRAWS):
            assignment = self._assigned(self.combinations[place], lambda p: p.domain.draw(rng))
            failed = self._violated(self.constraints, assignment)
            if not failed:
                return assignment
            failures.update(failed)
        raise JobError(_hopeless(failures))

    def fulfils(self, assignment: Assignment) -> bool:
        """Whether an assignment violates no constraint."""
        return not self._violated(self.constraints, assignment)

    @cached_property
    def combinations(self) -> list[Assignment]:
        """The combinations of grid parameters that fulfil what is said about them alone.

        Raises:
            JobError: there are none.
        """
        decided = [c for c in self.constraints if self._is_about_grid(c)]
        every = list(self.space.grid_combinations())
        if not decided:
            return every
        failures: Counter[Constraint] = Counter()
        kept = []
        for combination in every:
            assignment = self._assigned(combination, lambda p: p.domain.from_unit(0.5))
            failed = self._violated(decided, assignment)
            failures.update(failed)
            if not failed:
                kept.append(combination)
        if not kept:
            raise JobError(_hopeless(failures, "no combination of the grids", len(every)))
        return kept

    def _assigned(self, fixed: Assignment, ask: Callable[[Parameter], Value]) -> Assignment:
        return self.space.assign(lambda p: fixed[p.name] if p.name in fixed else ask(p))

    def _violated(
        self, constraints: Sequence[Constraint], assignment: Assignment
    ) -> tuple[Constraint, ...]:
        if not constraints:
            return ()
        return violated(constraints, named_values(self.space, assignment, self.base or {}))

    def _is_about_grid(self, constraint: Constraint) -> bool:
        """Whether it speaks of values that grid parameters and the base decide alone."""
        grid = {p.name for p in self.space.grid_parameters}
        # What is inside an option of the choice at P stands at P in the job.
        drawn = {p.name.partition("[")[0] for p in self.space.parameters if p.name not in grid}
        return all(
            name in grid or not any(_touches(name, path) for path in drawn)
            for name in constraint.names
        )


def _touches(name: str, path: str) -> bool:
    """Whether the value of a name can depend on the parameter at a path, or the other way round."""
    name = name.replace("[", ".").replace("]", "")
    return f"{name}.".startswith(f"{path}.") or path.startswith(f"{name}.")


def _hopeless(
    failures: Counter[Constraint], what: str = "no draw", count: int = MOST_DRAWS
) -> list[Problem]:
    return [
        Problem(
            constraint.path,
            f"{what} of {count} fulfils all constraints, and this one fails {times} times",
            constraint.text,
            mend="narrow the space to where it holds, or loosen the constraint",
        )
        for constraint, times in failures.most_common()
    ]
