"""The course of a trial: held at milestones, stopped, given up."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from trainwright.orchestration.light import Abandoned
from trainwright.orchestration.signals import StopRequest
from trainwright.search.trialling.course import Course, Report, TrialMonitor


class Training:
    """Stands for a run: an evaluation after each step, until it is asked to stop.

    Args:
        steps: how many.
        waits: whether it can be held.
    """

    def __init__(self, steps: int, waits: bool = True) -> None:
        self.steps, self.waits = steps, waits
        self.done = 0
        self.abandoned = threading.Event()

    def __call__(self, monitor: TrialMonitor, stop: StopRequest) -> Report:
        monitor.waits = self.waits
        monitor.show({"run": "the-run"})
        try:
            for step in range(1, self.steps + 1):
                if monitor.stop_requested:
                    return Report(state="interrupted", step=self.done)
                self.done = step
                monitor.show({"step": step})
                is_last = step == self.steps
                milestone: dict[str, Any] = {"step": step, "epoch": step / 2, "is_last": is_last}
                monitor.show({"milestone": {**milestone, "metrics": {"m": 10.0 * step}}})
        except Abandoned:
            self.abandoned.set()
            raise
        return Report(state="finished", step=self.done)


def test_it_goes_no_further_than_it_is_asked() -> None:
    training = Training(4)
    course = Course(training, waits=True)
    reports = []
    for number in range(1, 4):
        reports.append(course.next())
        assert training.done == number
    assert [report.step for report in reports] == [1, 2, 3]
    assert [report.metrics for report in reports] == [{"m": 10.0}, {"m": 20.0}, {"m": 30.0}]
    assert {report.run for report in reports} == {"the-run"}
    last = course.next()
    assert (last.state, last.step) == ("finished", 4)
    assert [m.step for m in last.curve] == [4]
    assert course.has_ended()


def test_nobody_judges_it() -> None:
    """Then it is one report, with everything on the way."""
    last = Course(Training(5), waits=False).next()
    assert last.state == "finished"
    assert [m.step for m in last.curve] == [1, 2, 3, 4, 5]


def test_one_that_cannot_be_held_tells_all_in_the_end() -> None:
    course = Course(Training(50, waits=False), waits=True)
    curve = []
    while True:
        report = course.next()
        curve += report.curve
        if report.state is not None:
            break
    assert [m.step for m in curve] == list(range(1, 51))


def test_stopped_at_a_milestone() -> None:
    training = Training(9)
    course = Course(training, waits=True)
    course.next()
    course.stop()
    report = course.next()
    assert (report.state, report.step) == ("interrupted", 1)
    assert not training.abandoned.is_set()


def test_given_up_at_a_milestone() -> None:
    training = Training(9)
    course = Course(training, waits=True)
    course.next()
    course.abandon()
    assert course.has_ended()
    assert training.abandoned.is_set()
    assert training.done == 1
    assert course.next().state == "stopped"


def test_given_up_on_its_way() -> None:
    """At the next word of the training, whether there is a milestone or not."""
    reached, go = threading.Event(), threading.Event()

    def work(monitor: TrialMonitor, stop: StopRequest) -> Report:
        reached.set()
        go.wait()
        monitor.show({"step": 1})
        raise AssertionError("training went on")

    course = Course(work, waits=False)
    reached.wait()
    course.abandon()
    assert not course.has_ended(0.0)
    go.set()
    assert course.has_ended()
    assert course.next().state == "stopped"


def test_an_attempt_that_went_back_does_not_tell_milestones_again() -> None:
    def work(monitor: TrialMonitor, stop: StopRequest) -> Report:
        for step in (1, 2, 1, 2, 3):
            monitor.show({"milestone": {"step": step, "epoch": 1.0, "metrics": {}}})
        return Report(state="finished")

    assert [m.step for m in Course(work, waits=False).next().curve] == [1, 2, 3]


def test_what_the_work_raises_comes_out() -> None:
    def work(monitor: TrialMonitor, stop: StopRequest) -> Report:
        raise OSError("no space left")

    course = Course(work, waits=True)
    with pytest.raises(OSError, match="no space left"):
        course.next()
    assert course.has_ended()
