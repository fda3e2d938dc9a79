"""The watchdog: when it barks, and what it says."""

from __future__ import annotations

import threading
import time
import traceback

import pytest

from trainwright.training import watchdog
from trainwright.training.watchdog import Hang, Watchdog, armed, beat, hang_of, watched


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_watches_while_armed_and_counts_from_the_last_beat(clock: Clock) -> None:
    dog = Watchdog(10.0, 3, clock)
    clock.now = 1000.0
    assert dog.hang() is None, "it was not armed yet"
    dog.beat()
    assert dog.hang() is None, "a beat does not arm it"
    dog.arm()
    clock.now += 9.0
    assert dog.hang() is None
    dog.beat()
    clock.now += 9.0
    assert dog.hang() is None
    clock.now += 2.0
    hang = dog.hang()
    assert hang is not None
    assert (hang.rank, hang.seconds, hang.waits) == (3, 11.0, False)
    assert "test_it_watches_while_armed_and_counts_from_the_last_beat" in hang.stack
    dog.rest()
    assert dog.hang() is None


def test_it_looks_at_the_thread_that_has_armed_it(clock: Clock) -> None:
    dog, found = Watchdog(10.0, 0, clock), threading.Event()

    def training() -> None:
        dog.arm()
        found.wait(60)

    thread = threading.Thread(target=training)
    thread.start()
    try:
        while dog.hang() is None:
            clock.now += 11.0
        hang = dog.hang()
    finally:
        found.set()
        thread.join()
    assert hang is not None
    assert " in training\n" in hang.stack


def test_who_waits_for_others_leaves_them_time_to_tell(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = Watchdog(8.0, 0, clock)
    dog.arm()
    monkeypatch.setattr(watchdog, "hang_of", lambda rank, seconds, frames: WAITED)
    clock.now += 9.9
    assert dog.hang() is None
    clock.now += 0.2
    assert dog.hang() == WAITED


WAITED = Hang(0, 60.0, "loop.py:70 in run", True, "")


def _frames(*places: tuple[str, int, str]) -> traceback.StackSummary:
    return traceback.StackSummary.from_list([(file, line, name, "") for file, line, name in places])


LOOP = ("/site/trainwright/training/loop.py", 70, "run")
LOSS = ("/job/own_loss.py", 12, "forward")
TORCH = ("/site/torch/nn/functional.py", 99, "softmax")
BACKWARD = ("/site-packages/torch/autograd/graph.py", 979, "_engine_run_backward")
REDUCE = ("/site/torch/distributed/distributed_c10d.py", 5, "all_reduce")
STAGE = ("/site/deepspeed/runtime/zero/stage3.py", 8, "reduce")
SUMS = ("/site/trainwright/collectives.py", 8, "end")


@pytest.mark.parametrize(
    ("places", "where", "waits"),
    [
        ([LOOP, LOSS], "own_loss.py:12 in forward", False),
        ([LOOP, LOSS, TORCH], "own_loss.py:12 in forward", False),
        ([LOOP, STAGE, REDUCE], "loop.py:70 in run", True),
        ([LOOP, STAGE], "loop.py:70 in run", True),
        ([LOOP, SUMS], "collectives.py:8 in end", True),
        ([LOOP, BACKWARD], "loop.py:70 in run", True),
        ([STAGE, LOSS], "own_loss.py:12 in forward", False),
        ([TORCH], "functional.py:99 in softmax", False),
    ],
)
def test_where_a_stack_stands(places: list, where: str, waits: bool) -> None:
    hang = hang_of(0, 60.0, _frames(*places))
    assert (hang.where, hang.waits) == (where, waits)


def test_it_tells_and_ends_the_process() -> None:
    told: list[Hang] = []
    ended = threading.Event()
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    with watched(0.05, 2, told.append, end), armed():
        assert ended.wait(60)
    assert statuses == [75]
    (hang,) = told
    assert hang.rank == 2
    assert "test_it_tells_and_ends_the_process" in hang.stack


def test_a_report_that_fails_does_not_keep_the_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = threading.Event()

    def refuse(hang: Hang) -> None:
        raise OSError("no such bucket")

    with watched(0.05, 0, refuse, lambda status: ended.set()), armed():
        assert ended.wait(60)
    told = capsys.readouterr().err
    assert told.startswith("no progress for 0 s:")
    assert "this could not be stored: no such bucket" in told


def test_without_a_limit_nobody_watches() -> None:
    with watched(None, 0, pytest.fail, pytest.fail), armed():
        beat()
        assert watchdog._dog is None


def test_afterwards_nobody_watches() -> None:
    before = threading.active_count()
    with watched(1000.0, 0, pytest.fail, pytest.fail), armed():
        beat()
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert watchdog._dog is None
    beat()


def test_a_beat_costs_nothing_to_speak_of() -> None:
    """It is called in every update."""
    began = time.thread_time()
    with watched(1000.0, 0, pytest.fail, pytest.fail), armed():
        for _ in range(10_000):
            beat()
    assert time.thread_time() - began < 1.0
