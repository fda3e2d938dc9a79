"""Ray Tune's side of a population: members that copy others, and take turns where room is short."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler
from typing_extensions import override

from trainwright.checkpoint import CheckpointStore
from trainwright.search.marks import REPORT, RESOURCE, TRIAL, VALUE
from trainwright.search.plan import Plan
from trainwright.search.population import Standing, Standings, explored
from trainwright.search.schedulers import resource_of
from trainwright.search.space.options import identity
from trainwright.search.spec import PbtSpec
from trainwright.search.trialling.book import Book
from trainwright.search.trialling.pruning import Pruning
from trainwright.search.trials import Trial

_WAITING = (TuneTrial.PENDING, TuneTrial.PAUSED)


class Population(FIFOScheduler):  # type: ignore[misc]  # ray has no types here
    """Population based training over the platform's space and checkpoints.

    A member that copies another one is paused and given the other's checkpoint and new values; it
    is a run of its own from there. Tune's own scheduler would do the copying by checkpoints of
    Tune's, of which there are none.

    Args:
        spec: its options.
        plan: the sweep.
        book: its trials.
    """

    def __init__(self, spec: PbtSpec, plan: Plan, book: Book) -> None:
        super().__init__()
        self._spec, self._plan, self._book = spec, plan, book
        self._goal = plan.judge.first
        self._standings = Standings(spec.every.amount, spec.quantile)
        self._reached: dict[int, float] = {}
        self._turns: dict[int, int] = {}
        self._pruning = Pruning(book.trials, plan.storage)
        for trial in book.trials:
            self._take_up(trial)

    @override
    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Whether a member goes on, or is paused for another one or for other values."""
        number, resource = trial.config[TRIAL]["number"], float(result[RESOURCE])
        self._reached[number] = resource
        self._turns[number] = max(self._turns.values(), default=0) + 1
        if not self._standings.is_due(number, resource):
            return str(self.CONTINUE)
        step, run = int(result[f"{REPORT}/step"]), str(result[f"{REPORT}/run"])
        self._standings.put(number, self._standing(resource, step, result.get(VALUE)))
        copies = self._copies(number, run, step)
        self._pruning(number, step)
        others = (other for other in tune_controller.get_trials() if other is not trial)
        if not copies and not any(other.status in _WAITING for other in others):
            return str(self.CONTINUE)
        tune_controller.pause_trial(trial, should_checkpoint=False)
        trial.set_config({TRIAL: self._book.config_of(self._book.trials[number])})
        return str(self.NOOP)

    @override
    def on_trial_complete(
        self, tune_controller: Any, trial: Any, result: Mapping[str, Any]
    ) -> None:
        """A member that has ended is compared no more."""
        self._standings.leave(trial.config[TRIAL]["number"])
        for member in self._book.trials:
            if member.has_ended:
                self._pruning(member.number, member.step)

    @override
    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Of the members that wait, the one that is least far, or of these has waited longest."""
        waiting = [trial for trial in tune_controller.get_trials() if trial.status in _WAITING]

        def order(trial: Any) -> tuple[float, int, int]:
            number = trial.config[TRIAL]["number"]
            return self._reached.get(number, 0.0), self._turns.get(number, 0), number

        return min(waiting, key=order, default=None)

    def _take_up(self, trial: Trial) -> None:
        """Learn of a member that an earlier attempt has begun."""
        if trial.has_ended:
            return
        for milestone in trial.curve:
            resource = resource_of(milestone, self._spec.every)
            self._reached[trial.number] = resource
            if self._standings.is_due(trial.number, resource):
                value = milestone.metrics.get(self._goal.name)
                standing = self._standing(resource, milestone.step, value)
                self._standings.put(trial.number, standing)

    def _standing(self, resource: float, step: int, value: float | None) -> Standing:
        is_good = value is not None and math.isfinite(value)
        score = (value or 0.0) * (1 if self._goal.highest else -1)
        return Standing(resource, step, score if is_good else -math.inf)

    def _copies(self, number: int, run: str, step: int) -> bool:
        """Let a member copy another one, if it is among the worst; whether it does.

        Args:
            number: of the member.
            run: its run until now.
            step: where it was compared just now.
        """
        rng = np.random.default_rng([self._plan.sampler.seed, number, step])
        for donor in rng.permutation(self._standings.donors(number)).tolist():
            place = self._place(donor)
            # What did not help it before does not help it again; the other one goes on meanwhile.
            if place is None or place in (s.start_from for s in self._book.trials[number].segments):
                continue
            copied = self._book.trials[donor].assignment
            taken = {
                identity(segment.assignment)
                for trial in self._book.trials
                for segment in trial.segments
                if segment.start_from == place
            }
            # With the values of the one that is copied it would only do the same once more.
            taken.add(identity(copied))
            found = explored(copied, self._plan.sampler, self._spec, rng, taken)
            if found is None:
                continue
            self._reached[number] = self._standings.latest[donor].resource
            at = self._standings.latest[donor].step
            self._book.varied(number, run, found, place, at)
            self._standings.copied(number, donor)
            return True
        return False

    def _place(self, number: int) -> tuple[str, str] | None:
        """Run and checkpoint of a member as it was compared last; None if there is none."""
        trial, step = self._book.trials[number], self._standings.latest[number].step
        if trial.run is None:
            return None
        folder = self._plan.storage / trial.run
        found = [ck for ck in CheckpointStore(folder).list() if ck.step <= step]
        return (folder.url, max(found, key=lambda ck: ck.step).name) if found else None
