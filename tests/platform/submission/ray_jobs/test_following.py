"""A log to its end, over streams that break anywhere and a cluster that is silent at times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.errors import Problem
from trainwright.submission.progress import Progress
from trainwright.submission.ray_jobs import following
from trainwright.submission.ray_jobs.client import Client
from trainwright.submission.ray_jobs.describing import described
from trainwright.submission.ray_jobs.errors import Answered, Unreachable
from trainwright.submission.ray_jobs.following import Following
from trainwright.submission.target import Submission, TargetLost

LOG = "one\n\ntwo, and more\nthree\nprogress: step 5 of 10 (50%)\nfour, without an end"


@dataclass
class Broken:
    """A cluster whose streams of the log break.

    Attributes:
        ends: how far each stream comes, in characters; the job ends after the last one.
        silent: the questions, counted from 0, that are not answered.
        statuses: of HTTP, by the number of the question.
        starts: when the job began, by the number of the question.
    """

    ends: list[int]
    silent: frozenset[int] = frozenset()
    statuses: dict[int, int] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    url: str = "http://h"
    num_asked: int = 0

    async def tail_job_logs(self, submission: str) -> AsyncIterator[str]:
        end = self.ends.pop(0) if self.ends else len(LOG)
        for start in range(0, end, 7):
            yield LOG[start : min(start + 7, end)]
        raise RuntimeError("the connection is broken")

    def get_job_logs(self, submission: str) -> str:
        self._answer()
        return LOG

    def get_job_info(self, submission: str) -> Any:
        number = self.num_asked
        self._answer()
        return details("RUNNING" if self.ends else "SUCCEEDED", self.starts.get(number, 1000))

    def _answer(self) -> None:
        number, self.num_asked = self.num_asked, self.num_asked + 1
        if number in self.silent:
            raise Unreachable(Problem("--to", "nothing listens there"))
        if number in self.statuses:
            raise Answered(self.url, self.statuses[number], "no")


def details(status: str, start_time: int = 1000) -> Any:
    return SimpleNamespace(
        submission_id="a-01234567",
        status=SimpleNamespace(value=status),
        metadata={"job": "a", "run": "a-1"},
        message="",
        driver_exit_code=0,
        start_time=start_time,
        end_time=None,
    )


@contextmanager
def hurried(silence_s: float = 60) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "LOOK_S", 0.001)
        patch.setattr(following, "SILENCE_S", silence_s)
        yield


def follow(cluster: Broken) -> tuple[list[str], list[Submission]]:
    """The lines and the states that come."""
    first = described("http://h", details("PENDING"))
    events = list(Following(cast(Client, cluster), first).events())
    lines = [event for event in events if isinstance(event, str)]
    states = [event for event in events if isinstance(event, Submission)]
    assert states[-1] is events[-1]
    return lines, states


@given(
    st.lists(st.integers(0, len(LOG)), max_size=4), st.frozensets(st.integers(0, 12), max_size=6)
)
def test_every_line_comes_once_whatever_breaks(ends: list[int], silent: frozenset[int]) -> None:
    with hurried():
        lines, states = follow(Broken(ends, silent))
    assert lines == LOG.split("\n")
    assert [one.state for one in states] in (
        ["waiting", "running", "finished"],
        ["waiting", "finished"],
    )
    assert states[-1].progress == Progress(5, 10)


def test_a_cluster_that_stays_silent_is_given_up_and_says_what_to_do() -> None:
    with hurried(silence_s=0.05), pytest.raises(TargetLost) as lost:
        follow(Broken([5] * 1000, frozenset(range(10_000))))
    assert "has not answered" in str(lost.value)
    assert "submitting the same job again goes on from its last checkpoint" in str(lost.value)


@pytest.mark.parametrize(
    "cluster",
    [Broken([5] * 9, statuses={3: 404}), Broken([5] * 9, starts={3: 2000, 4: 2000})],
    ids=["gone", "another"],
)
def test_a_cluster_that_was_started_anew_is_told(cluster: Broken) -> None:
    with hurried(), pytest.raises(TargetLost) as lost:
        follow(cluster)
    assert "does not know a-01234567 any more" in str(lost.value)


def test_a_log_that_cannot_be_read_ends_what_comes_and_hides_no_state() -> None:
    cluster = Broken([10], statuses=dict.fromkeys(range(1, 30), 500))
    with hurried():
        del cluster.statuses[2]
        lines, states = follow(cluster)
    assert states[-1].state == "finished"
    assert lines == ["one", "", "two, "]
