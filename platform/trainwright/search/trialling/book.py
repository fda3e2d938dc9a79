"""The trials of a sweep while it runs: proposed, followed and kept in storage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.errors import RunError
from trainwright.search.algorithms.protocol import Algorithm
from trainwright.search.plan import Plan
from trainwright.search.trialling.course import Report
from trainwright.search.trials import Milestone, Segment, Trial, labelled, labels_of
from trainwright.storage import Folder, cause_of
from trainwright.tracking.family import CHILDREN


class Book:
    """All trials of a sweep; every change is written to storage before anybody acts on it.

    Where the storage refuses, the sweep goes on, and what is missing is written later.

    Args:
        plan: the sweep.
        folder: the folder of its own run.
        algorithm: proposes trials.
        trials: those of earlier attempts.

    Attributes:
        trials: all of them, in their order.
        stopping: no further trial begins.
        halted: what runs is given up as well.
        changed: called with each trial whose state has changed, and a remark or None.
    """

    def __init__(
        self, plan: Plan, folder: Folder, algorithm: Algorithm, trials: list[Trial]
    ) -> None:
        self._plan, self._folder, self._algorithm = plan, folder, algorithm
        self.trials = trials
        self.stopping = False
        self.halted = False
        self.changed: Callable[[Trial, str | None], None] = lambda trial, remark: None
        self._lock = threading.RLock()
        self._unsaved: set[int] = set()
        # An attempt that was killed may have left the checkpoints of trials that it had stopped.
        self._touched = {trial.number for trial in trials if trial.state == "stopped"}
        for trial in trials:
            algorithm.told(trial)
        self._fill_gaps()
        self._waiting: list[Trial] = []
        self.begin_again()

    def begin_again(self) -> None:
        """Nothing runs: all trials that have not ended are to be begun, or gone on with."""
        with self._lock:
            self._waiting = [trial for trial in self.trials if not trial.has_ended]
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

    @property
    def touched(self) -> list[Trial]:
        """Trials to which something has happened since this book was opened."""
        with self._lock:
            return [self.trials[number] for number in sorted(self._touched)]

    @property
    def is_running(self) -> bool:
        """Whether any trial runs."""
        with self._lock:
            return any(trial.state == "running" for trial in self.trials)

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
                self._note_failures(trial, report.failures)
                trial.error = report.error
            self._set(trial, report.state or "running")

    def _note_failures(self, trial: Trial, failures: list[str]) -> None:
        trial.failures += failures
        for failure in failures:
            self.changed(trial, f"trial {trial.number} was begun again: {first_line(failure)}")

    def _note_run(self, trial: Trial, run: str | None) -> None:
        if run is None or run == trial.run:
            return
        trial.run = run
        last = trial.segments[-1] if trial.segments else None
        if last is not None and last.run is None:
            last.run = run
            # What it had trained beyond this step, it has given up.
            trial.curve = [m for m in trial.curve if m.step <= last.step]
        self._write(None, lambda: self._folder.write_json(CHILDREN, labels_of(self.trials)))

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
            self._note_failures(trial, [reason])
            trial.state = "waiting"
            self._keep(trial)

    def leave(self) -> None:
        """Nothing runs any more: what has not ended goes on when the sweep does."""
        with self._lock:
            for trial in self.trials:
                if not trial.has_ended:
                    trial.state = "interrupted" if trial.run else "waiting"
                    self._keep(trial)
                elif trial.number in self._unsaved | self._touched:
                    self._keep(trial)
            if self._unsaved:
                raise RunError(
                    f"{len(self._unsaved)} trials could not be written in {self._folder.url}. Make "
                    "room there or mend the store; the same command then does these trials again"
                )

    def _set(self, trial: Trial, state: Any) -> None:
        trial.state = state
        self._keep(trial)
        if trial.has_ended:
            self._algorithm.told(trial)
        failed = trial.state in ("failed", "refused")
        values = labelled(trial.assignment)
        remark = f"trial {trial.number} {trial.state} ({values}): {trial.reason}"
        self.changed(trial, remark if failed else None)

    def _keep(self, trial: Trial) -> None:
        self._touched.add(trial.number)
        self._write(trial, lambda: trial.save(self._folder))

    def _write(self, trial: Trial | None, write: Callable[[], None]) -> None:
        """Write something, or a remark that it cannot be written for now."""
        try:
            write()
            if trial is not None:
                self._unsaved.discard(trial.number)
        except Exception as error:  # whatever the store's client raises
            if trial is None:  # it is written with the next run
                return
            self._unsaved.add(trial.number)
            text = f"trials cannot be written for now: {cause_of(error)}"
            self.changed(trial, text)


def first_line(text: str) -> str:
    """What a message says first."""
    return text.strip().partition("\n")[0]


def _in_order(curve: list[Milestone]) -> list[Milestone]:
    """One milestone for each step: an attempt that went back to a checkpoint says some again."""
    return [at for _, at in sorted({m.step: m for m in curve}.items())]
