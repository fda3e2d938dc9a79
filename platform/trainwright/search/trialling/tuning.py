"""Ray Tune's side of a sweep: where its trials come from, and what it tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ray.tune import Callback
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.search import Searcher
from typing_extensions import override

from trainwright.search.goals import Goal
from trainwright.search.schedulers import RESOURCE, VALUE
from trainwright.search.space.sampling import MOST_DRAWS, Sampler
from trainwright.search.space.space import Assignment
from trainwright.search.spec import PbtSpec
from trainwright.search.trialling.actor import REPORT, TRIAL
from trainwright.search.trialling.book import Book


class Proposals(Searcher):  # type: ignore[misc]  # ray has no types here
    """Hands the trials of the book to Tune."""

    def __init__(self, book: Book) -> None:
        super().__init__()
        self._book = book

    @override
    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The configuration of the next trial."""
        trial = self._book.next()
        return Searcher.FINISHED if trial is None else {TRIAL: self._book.config_of(trial)}

    @override
    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The book learns of it by ``Follower``."""


class Follower(Callback):  # type: ignore[misc]  # ray has no types here
    """Writes what Tune tells of trials into the book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    @override
    def on_trial_start(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """A trial was given to an actor."""
        self._book.began(trial.config[TRIAL]["number"])

    @override
    def on_trial_result(
        self,
        iteration: int,
        trials: Sequence[Any],
        trial: Any,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """A trial reached a milestone, or its end."""
        self._book.reported(trial.config[TRIAL]["number"], result[REPORT])

    @override
    def on_trial_complete(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """A trial ended, by itself or because the scheduler wanted it to."""
        self._book.stopped(trial.config[TRIAL]["number"])

    @override
    def on_trial_recover(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """The process of a trial was lost, and it is begun again."""
        self._book.lost(trial.config[TRIAL]["number"], _reason(trial), for_good=False)

    @override
    def on_trial_error(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """The process of a trial was lost once too often."""
        self._book.lost(trial.config[TRIAL]["number"], _reason(trial), for_good=True)


def _reason(trial: Any) -> str:
    error = trial.get_pickled_error() or trial.get_error()
    text = str(error).strip() if error is not None else ""
    return text or "its process was lost"


class Population(PopulationBasedTraining):  # type: ignore[misc]  # ray has no types here
    """Tune's population based training over the platform's space and checkpoints.

    Which members copy which is Tune's; what they go on with is drawn here: each numeric value is
    varied by a factor on its own scale or drawn anew, each choice kept or drawn anew.

    Source: M. Jaderberg et al., Population based training of neural networks, 2017
    (arXiv 1711.09846).

    Args:
        spec: its options.
        sampler: the space, its constraints and the seed.
        goal: what members are compared by.
        book: learns of new values.
    """

    def __init__(self, spec: PbtSpec, sampler: Sampler, goal: Goal, book: Book) -> None:
        super().__init__(
            time_attr=RESOURCE,
            metric=VALUE,
            mode="max" if goal.highest else "min",
            perturbation_interval=spec.every.amount,
            quantile_fraction=spec.quantile,
            custom_explore_fn=lambda config: config,
            log_config=False,
        )
        self._spec, self._sampler, self._book = spec, sampler, book
        self._rng = np.random.default_rng([sampler.seed, len(book.trials)])

    @override
    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], Any]:
        """What a member goes on with that copies another one."""
        copied = trial_to_clone.config[TRIAL]["assignment"]
        assignment = explored(copied, self._sampler, self._spec, self._rng)
        number = trial.config[TRIAL]["number"]
        self._book.varied(number, assignment)
        changes = self._sampler.space.changes(assignment)
        own = {**trial.config[TRIAL], "assignment": assignment, "changes": changes}
        return {TRIAL: own}, {}


def explored(
    assignment: Assignment, sampler: Sampler, spec: PbtSpec, rng: np.random.Generator
) -> Assignment:
    """Values near those of an assignment, within the space and its constraints.

    Args:
        assignment: of the member that is copied.
        sampler: the space and its constraints.
        spec: how values are varied.
        rng: decides.
    """

    def ask(parameter: Any) -> Any:
        domain, known = parameter.domain, assignment.get(parameter.name)
        if known is None or rng.random() < spec.resample:
            return domain.draw(rng)
        if not domain.is_numeric:
            return known
        moved = float(known) * float(rng.choice(spec.factors))
        if domain.why_not(moved) is None:
            return moved
        # Past an end, or between two steps: the nearest value that there is.
        return domain.from_unit(min(max(domain.unit(_clipped(domain, moved)), 0.0), 1.0))

    for _ in range(MOST_DRAWS):
        found = sampler.space.assign(ask)
        if sampler.fulfils(found):
            return found
    return assignment


def _clipped(domain: Any, value: float) -> float:
    ends = (domain.from_unit(0.0), domain.from_unit(1.0))
    return min(max(value, float(ends[0])), float(ends[1]))
