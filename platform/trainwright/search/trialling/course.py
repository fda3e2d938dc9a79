"""The course of one trial: a run in a thread of its own, which reports as it goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from trainwright.orchestration.light import Abandoned
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.orchestration.signals import StopRequest
from trainwright.runs import RunRecord
from trainwright.search.trials import Milestone, State
from trainwright.storage import Folder

SECONDS_TO_END = 60.0
"""A run that was asked to end has so long; then its process is not waited for any more."""


@dataclass
class Report:
    """What a trial has to say, at a milestone or at its end.

    Attributes:
        milestone: the evaluation that is over; None at the end.
        state: what became of it; None at a milestone.
        run: the run's folder.
        step: updates finished, or rounds.
        epoch: the same in epochs.
        seconds: training time of all attempts.
        weights: trainable weights.
        metrics: newest values.
        curve: all milestones since the last report.
        error: why it failed or was refused.
        failures: why it had to be begun again.
        is_final: whether another attempt would fail alike.
    """

    milestone: Milestone | None = None
    state: State | None = None
    run: str | None = None
    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    weights: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[Milestone] = field(default_factory=list)
    error: str | None = None
    failures: list[str] = field(default_factory=list)
    is_final: bool = False


def recorded(folder: Folder, status: str) -> Report:
    """The end of a run, as its record tells it.

    Args:
        folder: the run's folder.
        status: ``finished``, ``interrupted`` or ``failed``.
    """
    record = RunRecord.load(folder) or RunRecord(folder.name)
    state: Any = status
    return Report(
        state=state,
        run=folder.name,
        step=record.steps,
        seconds=record.seconds,
        weights=record.weights,
        metrics=dict(record.metrics),
        error=record.error,
    )


class TrialMonitor(LocalMonitor):
    """The line between a training and its course: may hold training, and give it up.

    Args:
        reached: called with each milestone; may wait.
        waits: whether it may wait; a run with processes of its own cannot be held.
        needs_checkpoints: whether others may go on from the checkpoint of a milestone.

    Attributes:
        abandoned: training is given up at its next word.
    """

    def __init__(
        self, reached: Callable[[Milestone], None], *, waits: bool, needs_checkpoints: bool
    ) -> None:
        super().__init__()
        self.waits, self.needs_checkpoints = waits, needs_checkpoints
        self.abandoned = False
        self._reached = reached
        self._newest = -1

    @override
    def show(self, progress: Mapping[str, Any]) -> None:
        """Keep the newest progress; wait for the word to go on where it has a milestone.

        Raises:
            Abandoned: the training is given up.
        """
        if self.abandoned:
            raise Abandoned
        super().show({key: value for key, value in progress.items() if key != "milestone"})
        milestone = progress.get("milestone")
        if milestone is not None and milestone["step"] > self._newest:
            self._newest = milestone["step"]
            self._reached(Milestone(**milestone))
            if self.abandoned:
                raise Abandoned


Work = Callable[[TrialMonitor, StopRequest], Report]
"""Runs a trial to its end, reporting milestones to the monitor."""


class Course:
    """Runs a trial in a thread; ``next`` gives one report after another.

    Args:
        work: runs it.
        waits: whether it waits at each milestone until it is asked for the next report; else the
            milestones are told at its end. A run with processes of its own cannot be held: it goes
            on, and the reports that nobody has asked for are told together.
        needs_checkpoints: whether others may go on from the checkpoint of a milestone.
    """

    def __init__(self, work: Work, *, waits: bool, needs_checkpoints: bool = False) -> None:
        self.monitor = TrialMonitor(self._reached, waits=waits, needs_checkpoints=needs_checkpoints)
        self._work, self._tells = work, waits
        self._stop = StopRequest()
        self._stop.on_request(self.monitor.request_stop)
        self._reports: queue.SimpleQueue[Report | BaseException] = queue.SimpleQueue()
        self._go = threading.Event()
        self._curve: queue.SimpleQueue[Milestone] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="trial", daemon=True)
        self._thread.start()

    def next(self) -> Report:
        """The next report; waits for it.

        Raises:
            Exception: whatever the work raised.
        """
        self._go.set()
        report = self._reports.get()
        while not self._reports.empty():
            report = self._reports.get()
        if isinstance(report, BaseException):
            raise report
        while not self._curve.empty():
            report.curve.append(self._curve.get())
        return report

    def stop(self) -> None:
        """Ask the run to write a checkpoint and end."""
        self._stop.request()
        self._go.set()

    def abandon(self) -> None:
        """Have the run given up where it is, without a checkpoint; waits for nothing."""
        self.monitor.abandoned = True
        self._go.set()

    def has_ended(self, timeout_s: float = SECONDS_TO_END) -> bool:
        """Whether the run has ended, within a time."""
        self._thread.join(timeout=timeout_s)
        return not self._thread.is_alive()

    def _reached(self, milestone: Milestone) -> None:
        self._curve.put(milestone)
        if milestone.is_last or not self._tells:  # the end has its own report
            return
        if not self.monitor.waits:
            self._reports.put(self._report_of(milestone))
            return
        self._go.clear()
        self._reports.put(self._report_of(milestone))
        # Whoever gave it up in between has set the event that was just cleared.
        if not (self.monitor.abandoned or self._stop.requested):
            self._go.wait()

    def _report_of(self, milestone: Milestone) -> Report:
        return Report(
            milestone=milestone,
            run=self.monitor.progress().get("run"),
            step=milestone.step,
            epoch=milestone.epoch,
            metrics=dict(milestone.metrics),
        )

    def _run(self) -> None:
        try:
            self._reports.put(self._work(self.monitor, self._stop))
        except Abandoned:
            self._reports.put(Report(state="stopped"))
        except BaseException as error:  # told to whoever asks for the report
            self._reports.put(error)
