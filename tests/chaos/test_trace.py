"""The judgement of a run: made-up journals with every fault that it must see."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from chaos.trace import (
    Trace,
    different_losses,
    epochs_off,
    gaps,
    samples_off,
    server_gaps,
)

from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, continue_lineage

SIZE = 6
"""Samples of an epoch, two in each update."""
STEPS = range(1, 10)
Rows = list[dict[str, Any]]


def attempt(number: int, lineage: list[list[int]], world_size: int = 2) -> dict[str, Any]:
    return {
        "kind": "attempt",
        "attempt": number,
        "time": 0,
        "lineage": lineage,
        "world_size": world_size,
    }


def rows(world_sizes: tuple[int, ...] = (2,)) -> Rows:
    """Three epochs of three updates, trained by one attempt or, from update 5 on, by another."""
    found = [attempt(1, [], world_sizes[0])]
    for step in STEPS:
        if step == 5 and len(world_sizes) > 1:
            found.append(attempt(2, [[1, 4]], world_sizes[1]))
        ids = [(2 * step + other) % SIZE for other in (0, 1)]
        found.append({"kind": "samples", "attempt": 1, "step": step, "ids": ids})
        values = {"train/loss": 1 / step, "train/lr": 0.1, "system/cpu": 1.0}
        found.append(
            {"kind": "metrics", "attempt": 1, "time": step, "step": step, "values": values}
        )
    return found


CALM = Trace.of_rows(rows())


def changed(change: Callable[[Rows], None], world_sizes: tuple[int, ...] = (2,)) -> Trace:
    own = rows(world_sizes)
    change(own)
    return Trace.of_rows(own)


def judged(trace: Trace) -> tuple[Any, ...]:
    """Repeated and missed against the calm run and by themselves, gaps, losses that differ."""
    return (
        samples_off(trace, CALM, STEPS),
        epochs_off(trace, SIZE),
        gaps(trace, CALM, STEPS),
        list(different_losses(trace, CALM)),
    )


GOOD = ((0, 0), (0, 0), 0, [])


def test_an_undisturbed_run_is_good() -> None:
    assert CALM.last_step == 9
    assert judged(CALM) == GOOD
    assert judged(Trace.of_rows(rows((2, 2)))) == GOOD


def test_a_sample_in_the_place_of_another() -> None:
    def spoil(own: Rows) -> None:
        own[3]["ids"] = [4, 3]  # update 2 has 4 and 5; 3 comes again in update 1 of its epoch

    assert judged(changed(spoil)) == ((1, 1), (1, 1), 0, [])


def test_an_update_told_twice() -> None:
    def spoil(own: Rows) -> None:
        own[3:3] = own[3:5]

    (repeated, missed), epochs, missing, losses = judged(changed(spoil))
    assert (repeated, missed) == (2, 0)
    assert epochs[0] > 0
    assert missing == 2
    assert losses == [2]


def test_an_update_that_is_gone() -> None:
    def spoil(own: Rows) -> None:
        del own[3:5]

    (repeated, missed), epochs, missing, losses = judged(changed(spoil))
    assert (repeated, missed) == (0, 2)
    assert epochs[0] > 0
    assert missing == 2
    assert losses == [2]


def test_one_number_that_is_gone_or_a_stranger() -> None:
    def forget(own: Rows) -> None:
        del own[4]["values"]["train/lr"]

    def invent(own: Rows) -> None:
        own[4]["values"]["train/other"] = 1.0

    for spoil in (forget, invent):
        trace = changed(spoil)
        assert gaps(trace, CALM, STEPS) == 1
        assert gaps(trace, CALM, range(3, 10)) == 0, "it is told where it is"


def test_a_loss_that_differs_in_its_last_bit() -> None:
    def spoil(own: Rows) -> None:
        own[8]["values"]["train/loss"] = math.nextafter(own[8]["values"]["train/loss"], 1)

    assert list(different_losses(changed(spoil), CALM)) == [4]
    assert list(different_losses(changed(spoil, (2, 1)), CALM)) == [4]
    assert list(different_losses(changed(spoil, (1, 2)), CALM)) == []


def test_after_a_change_of_workers_losses_may_differ_by_rounding_only() -> None:
    def spoil(factor: float) -> Callable[[Rows], None]:
        return lambda own: own[-1]["values"].update({"train/loss": factor / 9})

    assert list(different_losses(changed(spoil(1 + 1e-7), (2, 1)), CALM)) == []
    assert list(different_losses(changed(spoil(1 + 1e-4), (2, 1)), CALM)) == [9]
    assert list(different_losses(changed(spoil(1 + 1e-7), (2, 2)), CALM)) == [9]


def test_what_the_server_lacks() -> None:
    points = [(name, step, values[0]) for (name, step), values in CALM.metrics.items()]
    assert server_gaps(points, CALM, STEPS) == 0
    assert server_gaps([*points, ("train/loss", 3, 7.0)], CALM, STEPS) == 0, "of a dead branch"
    assert server_gaps(points[1:], CALM, STEPS) == 1
    assert server_gaps(points[1:], CALM, range(2, 10)) == 0
    other = [(name, step, value + (step == 5)) for name, step, value in points]
    assert server_gaps(other, CALM, STEPS) == 2


@pytest.mark.parametrize(("stored", "lacking"), [(None, 0), (1.0, 1)])
def test_nan_on_the_server(stored: float | None, lacking: int) -> None:
    trace = Trace()
    trace.metrics["train/loss", 1].append(math.nan)
    assert server_gaps([("train/loss", 1, stored)], trace, STEPS) == lacking


def test_a_journal_on_disk_counts_what_survives(tmp_path: Any) -> None:
    folder = Folder(str(tmp_path))
    lineage: list[list[int]] = []
    for number, (steps, size) in enumerate([(range(1, 7), 2), (range(5, 10), 1)], 1):
        with JournalWriter(folder, number, lineage, size) as journal:
            for step in steps:
                journal.metrics(step, {"train/loss": 1 / step, "train/lr": 0.1})
                journal.samples(step, [(2 * step + other) % SIZE for other in (0, 1)])
        lineage = continue_lineage(folder, 1, 4)
    trace = Trace.of(folder)
    assert judged(trace) == GOOD
    assert trace.sizes == {1: 2, 2: 1}
    assert (trace.steps_of_size(2), trace.steps_of_size(1)) == (4, 0)
