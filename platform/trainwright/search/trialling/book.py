"""The trials of a sweep while it runs: proposed, followed and kept in storage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.search.algorithms.protocol import Algorithm
from trainwright.search.plan import Plan
from trainwright.search.trialling.course import Report
from trainwright.search.trials import Milestone, Segment, Trial, labels_of
from trainwright.storage import Folder
from trainwright.tracking.family import CHILDREN


class Book:
    """All trials of a sweep; every change is written to storage before anybody acts on it.

    Args:
        plan: the sweep.
        folder: the folder of its own run.
        algorithm: proposes trials.
        trials: those of earlier attempts.
    """

    def __init__(
        self, plan: Plan, folder: Folder, algorithm: Algorithm, trials: list[Trial]
    ) -> None:
        self._plan, self._folder, self._algorithm = plan, folder, algorithm
        self.trials = trials
        self.stopping = False
        self.changed: Callable[[Trial, str | None], None] = lambda trial, remark: None
        self._lock = threading.RLock()
        for trial in trials:
            algorithm.told(trial)
        self._fill_gaps()
        self._waiting = [trial for trial in trials if not trial.has_ended]
        for trial in self._waiting:
            trial.state = "waiting"

    def _fill_gaps(self) -> None:
        """A trial whose file was removed, as damaged ones are to be, is done again."""
        known = {trial.number for trial in self.trials}
        for number in sorted(set(range(max(known, default=0))) - known):
            assignment = self._algorithm.propose(number) or self._plan.sampler.draw(number)
            trial = Trial(number, assignment)
            self.trials.insert(number, trial)
            self._keep(trial)

    @property
    def num_ended(self) -> int:
        """Trials to which nothing more will happen."""
        with self._lock:
            return sum(trial.has_ended for trial in self.trials)

    def next(self) -> Trial | None:
        """The trial to begin now: one that was left, or a new one; None when all are begun."""
        with self._lock:
            if self.stopping:
                return None
            if not self._waiting:
                self._propose()
            return self._waiting.pop(0) if self._waiting else None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do; a trial that is still to be done is proposed for it."""
        with self._lock:
            if not self._waiting:
                self._propose()
            return not self._waiting and all(trial.has_ended for trial in self.trials)

    def _propose(self) -> None:
        number, most = len(self.trials), self._plan.most_trials
        if most is not None and number >= most:
            return
        assignment = self._algorithm.propose(number)
        if assignment is not None:
            trial = Trial(number, assignment)
            self.trials.append(trial)
            self._waiting.append(trial)
            self._keep(trial)

    def config_of(self, trial: Trial) -> dict[str, Any]:
        """What an actor needs to begin a trial, or to go on with it."""
        last = trial.segments[-1] if trial.segments else None
        return {
            "number": trial.number,
            "assignment": trial.assignment,
            "changes": self._plan.space.changes(trial.assignment),
            "start_from": list(last.start_from) if last and last.start_from else None,
        }

    def began(self, number: int) -> None:
        """A trial runs."""
        with self._lock:
            trial = self.trials[number]
            trial.state = "running"
            self._keep(trial)

    def reported(self, number: int, told: Mapping[str, Any]) -> None:
        """A trial has reached a milestone, or its end."""
        with self._lock:
            trial = self.trials[number]
            known = dict(told)
            report = Report(**{**known, "curve": [], "milestone": None})
            self._note_run(trial, report.run)
            trial.curve += [Milestone(**milestone) for milestone in told["curve"]]
            trial.curve = _in_order(trial.curve)
            trial.step, trial.metrics = report.step, {**trial.metrics, **report.metrics}
            trial.epoch = trial.curve[-1].epoch if trial.curve else trial.epoch
            if report.state is not None:
                trial.seconds, trial.weights = report.seconds, report.weights or trial.weights
                trial.failures += report.failures
                trial.error = report.error
            self._set(trial, report.state or "running")

    def _note_run(self, trial: Trial, run: str | None) -> None:
        if run is None or run == trial.run:
            return
        trial.run = run
        last = trial.segments[-1] if trial.segments else None
        if last is not None and last.run is None:
            last.run = run
            # What it had trained beyond this step, it has given up.
            trial.curve = [m for m in trial.curve if m.step <= last.step]
        self._folder.write_json(CHILDREN, labels_of(self.trials))

    def varied(
        self,
        number: int,
        left: str,
        assignment: dict[str, Any],
        start_from: tuple[str, str],
        step: int,
    ) -> None:
        """A member of a population goes on with other values, from another one's checkpoint.

        Args:
            number: of the member.
            left: its run until now.
            assignment: its new values.
            start_from: URL of the other one's run and the checkpoint in it.
            step: updates that had been finished there.
        """
        with self._lock:
            trial = self.trials[number]
            self._note_run(trial, left)
            if not trial.segments:
                trial.segments.append(Segment(trial.run, dict(trial.assignment)))
            trial.assignment = assignment
            trial.segments.append(Segment(None, dict(assignment), start_from, step))
            self._keep(trial)

    def stopped(self, number: int) -> None:
        """A scheduler has ended a trial on its way."""
        with self._lock:
            trial = self.trials[number]
            if not trial.has_ended and trial.state != "interrupted":
                self._set(trial, "stopped")

    def lost(self, number: int, reason: str, *, for_good: bool) -> None:
        """The process of a trial was lost; it is begun again unless it was for good."""
        with self._lock:
            trial = self.trials[number]
            if trial.has_ended:
                return
            if for_good:
                trial.error = reason
                self._set(trial, "failed")
                return
            trial.failures.append(reason)
            self._keep(trial)
            first = reason.strip().partition("\n")[0]
            self.changed(trial, f"trial {number} is begun again: {first}")

    def leave(self) -> None:
        """Nothing runs any more: what has not ended goes on when the sweep does."""
        with self._lock:
            for trial in self.trials:
                if not trial.has_ended:
                    trial.state = "interrupted" if trial.run else "waiting"
                    self._keep(trial)

    def _set(self, trial: Trial, state: Any) -> None:
        trial.state = state
        self._keep(trial)
        if trial.has_ended:
            self._algorithm.told(trial)
        failed = trial.state in ("failed", "refused")
        remark = f"trial {trial.number} {trial.state}: {trial.reason}" if failed else None
        self.changed(trial, remark)

    def _keep(self, trial: Trial) -> None:
        trial.save(self._folder)


def _in_order(curve: list[Milestone]) -> list[Milestone]:
    """One milestone for each step: an attempt that went back to a checkpoint says some again."""
    return [at for _, at in sorted({m.step: m for m in curve}.items())]
