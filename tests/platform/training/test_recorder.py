"""Scalars of the loop: averaged, in order, never lost, and the way a stop is agreed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from trainwright.orchestration.monitor import LocalMonitor
from trainwright.training import recorder as module
from trainwright.training.recorder import Recorder


class Rows:
    """A journal that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.rows.append((step, dict(values)))

    def samples(self, step: int, ids: list[int]) -> None: ...

    def event(self, message: str, step: int | None = None) -> None: ...


def _note(recorder: Recorder, step: int, loss: float) -> None:
    recorder.note(step, {"train/loss": torch.tensor(loss)}, {"train/lr": 0.1}, {}, 8)


def test_rows_arrive_in_order_with_every_value() -> None:
    journal = Rows()
    recorder = Recorder(torch.device("cpu"), 1, 10, journal, LocalMonitor())
    _note(recorder, 1, 0.5)
    _note(recorder, 2, 0.25)
    recorder.flush()
    losses = [(step, row["train/loss"]) for step, row in journal.rows if "train/loss" in row]
    assert losses == [(1, 0.5), (2, 0.25)]
    assert recorder.last == {"train/loss": 0.25, "train/lr": 0.1}
    recorder.flush()
    assert len([r for r in journal.rows if "train/loss" in r[1]]) == 2


def test_a_name_that_only_some_updates_have_is_written_for_those() -> None:
    journal = Rows()
    recorder = Recorder(torch.device("cpu"), 1, 10, journal, LocalMonitor())
    _note(recorder, 1, 1.0)
    recorder.note(2, {"train/loss": 1.0, "strategy/x": 3.0}, {}, {"train/grad_norm": 2.0}, 8)
    recorder.flush()
    rows = [row for _, row in journal.rows if "train/loss" in row]
    assert "strategy/x" not in rows[0]
    assert (rows[1]["strategy/x"], rows[1]["train/grad_norm"]) == (3.0, 2.0)


def test_rows_are_written_during_the_next_update() -> None:
    journal = Rows()
    recorder = Recorder(torch.device("cpu"), 1, 10, journal)
    _note(recorder, 1, 0.5)
    recorder.pass_on()
    assert journal.rows == []
    _note(recorder, 2, 0.25)
    recorder.pass_on()
    assert [step for step, _ in journal.rows] == [1]
    recorder.flush()
    assert [step for step, _ in journal.rows] == [1, 2]


def test_rows_are_passed_on_less_often_until_they_are_half_a_second_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    journal, written = Rows(), []
    recorder = Recorder(torch.device("cpu"), 1, 1000, journal, LocalMonitor())
    for step in range(1, 100):
        now += 0.1
        _note(recorder, step, 0.0)
        before = len(journal.rows)
        recorder.pass_on()
        if len(journal.rows) > before:
            written.append(step)
    assert written[0] == 2
    gaps = {b - a for a, b in itertools.pairwise(written[1:])}
    assert gaps <= {4, 5}


def _two_workers() -> dict[str, Any]:
    """Runs on both workers: only worker 0 is asked to stop, only it has a journal."""
    import torch.distributed as dist

    rank = dist.get_rank()
    journal = Rows() if rank == 0 else None
    monitor = LocalMonitor() if rank == 0 else None
    recorder = Recorder(torch.device("cpu"), 2, 10, journal, monitor)
    stopped = []
    for step in range(1, 6):
        if step == 3 and monitor is not None:
            monitor.request_stop()
        recorder.note(step, {"train/loss": torch.tensor(rank + 1.0)}, {}, {}, 8)
        recorder.pass_on()
        if step == 5:
            recorder.flush()
        stopped.append(recorder.stop_requested)
    rows = [row["train/loss"] for _, row in journal.rows if "train/loss" in row] if journal else []
    return {"losses": rows, "stopped": stopped}


def test_workers_agree_on_sums_and_on_where_to_stop(two_workers: Any) -> None:
    first, second = two_workers.run(_two_workers)
    assert first["losses"] == [3.0] * 5
    assert first["stopped"] == second["stopped"]
    assert first["stopped"][-1]
    assert not first["stopped"][1]
