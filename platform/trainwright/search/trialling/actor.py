"""What Ray Tune runs: an actor that does one trial after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from ray.tune import Trainable
from typing_extensions import override

from trainwright.durations import Duration
from trainwright.orchestration.processes import reuse_memory, worker_environment
from trainwright.search.goals import Goal
from trainwright.search.marks import REPORT, RESOURCE, TRIAL, VALUE
from trainwright.search.trialling.course import SECONDS_TO_END, Course, Report
from trainwright.search.trialling.wall import Poster
from trainwright.search.trialling.working import Kit, Task


class TrialActor(Trainable):  # type: ignore[misc]  # ray has no types here
    """Does one trial at a time; its checkpoints are the platform's, and Tune has none.

    Under ``trial`` its configuration has the ``number`` of the trial, ``assignment`` and
    ``changes`` of its values, and ``start_from``, URL of a run's folder and a checkpoint, with
    which it begins.
    """

    @override
    def setup(
        self, config: dict[str, Any], kit: Kit, wall: Any, goal: Goal, unit: Duration | None
    ) -> None:
        """Take what all trials need."""
        os.environ.update(worker_environment(kit.cpus, kit.uses_gpu))
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        reuse_memory()
        self._kit, self._wall, self._goal, self._unit = kit, wall, goal, unit
        self._course: Course | None = None
        self._left: Course | None = None
        self._poster: Poster | None = None
        self._take(config)

    @override
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Give up what is left of the trial before, and take the next one.

        Never refused, and waits for nothing: Tune would count that against the next trial.
        """
        self._give_up()
        self._take(new_config)
        return True

    @override
    def cleanup(self) -> None:
        """Give up what is left of the trial."""
        self._give_up()
        self._wait_for_end()

    @override
    def step(self) -> dict[str, Any]:
        """Go on to the next milestone, or to the end.

        Raises:
            RuntimeError: the trial before, which was given up, does not end.
        """
        if self._course is None:
            if not self._wait_for_end():
                raise RuntimeError(f"the trial before did not end within {SECONDS_TO_END:g} s")
            self._begin()
        assert self._course is not None
        report = self._course.next()
        if report.state is not None:
            self._end()
        value = report.metrics.get(self._goal.name)
        return {
            REPORT: asdict(report),
            RESOURCE: self._resource(report),
            "done": report.state is not None,
            **({} if value is None else {VALUE: value}),
        }

    def _take(self, config: dict[str, Any]) -> None:
        self._trial = config[TRIAL]
        self._start_from = _place(self._trial["start_from"])

    def _begin(self) -> None:
        task = Task(self._kit, self._trial["number"], self._trial["changes"], self._start_from)
        self._course = Course(
            task.work, waits=self._kit.waits, needs_checkpoints=self._kit.needs_checkpoints
        )
        self._poster = Poster(self._wall, self._trial["number"], self._course)

    def _end(self) -> None:
        if self._poster is not None:
            self._poster.close()
        self._course = self._poster = None

    def _give_up(self) -> None:
        if self._course is not None:
            self._course.abandon()
            self._left = self._course
        self._end()

    def _wait_for_end(self) -> bool:
        """Whether the trial that was given up has ended, and so has freed its workers."""
        if self._left is not None and not self._left.has_ended():
            return False
        self._left = None
        return True

    def _resource(self, report: Report) -> float:
        """How far it is in the scheduler's unit; at the end in that of the last evaluation."""
        last = report.curve[-1] if report.curve else None
        if self._unit is None or self._unit.unit == "steps":
            return float(report.step)
        if report.milestone is not None:
            return report.milestone.epoch
        return last.epoch if last is not None else 0.0


def _place(written: Sequence[str] | None) -> tuple[str, str] | None:
    """URL and checkpoint, which travel as a list."""
    return None if written is None else (written[0], written[1])
