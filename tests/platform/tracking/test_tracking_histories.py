"""Random histories of training, evaluation, checkpoints, crashes and rewinds, against a model.

The model keeps, for every attempt, the plain list of rows that make up its history. It knows
nothing of lineages, byte ranges or cursors: a resumed attempt copies the list of the attempt
whose checkpoint it reads, without the rows after the checkpoint's step.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from journal_histories import Entry, World

from trainwright import storage as storage_module
from trainwright.errors import TrackingError
from trainwright.storage import Folder
from trainwright.tracking import newest_lineage, next_attempt, read_lineage
from trainwright.tracking import shipment as shipment_module
from trainwright.tracking.outbox import Point
from trainwright.tracking.settings import TrackingSettings
from trainwright.tracking.shipment import Shipment
from trainwright.tracking.target import RemoteRun

TRAINING = st.one_of(
    st.tuples(st.just("train"), st.integers(1, 4)),
    st.tuples(st.just("evaluate"), st.just(0)),
    st.tuples(st.just("checkpoint"), st.just(0)),
    st.tuples(st.just("resume"), st.integers(0, 9)),
    st.tuples(st.just("resume with other numbers"), st.integers(0, 9)),
)


def happen(world: World, what: str, amount: int) -> None:
    if what == "train":
        world.train(amount)
    elif what == "evaluate":
        world.evaluate()
    elif what == "checkpoint":
        world.checkpoint()
    else:
        world.resume(amount, salt=0 if what == "resume" else world.attempt)


@settings(max_examples=200, deadline=None)
@given(st.lists(TRAINING, max_size=25))
def test_the_surviving_rows_are_those_of_the_model(events: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Folder(directory))
        world.resume(0, 0)
        for what, amount in events:
            happen(world, what, amount)
        found = [
            Entry(row["attempt"], row["step"], key, value, row["time"])
            for row in read_lineage(world.folder)
            if row["kind"] == "metrics"
            for key, value in row["values"].items()
        ]
        assert sorted(found, key=repr) == sorted(world.histories[world.attempt], key=repr)
        for key in {entry.key for entry in found}:
            steps = [entry.step for entry in found if entry.key == key]
            assert steps == sorted(steps)
        samples = [row["step"] for row in read_lineage(world.folder) if row["kind"] == "samples"]
        assert samples == list(range(1, world.step + 1)), "each update's samples exactly once"


def test_an_attempt_without_a_whole_header_does_not_count(tmp_path: Path) -> None:
    world = World(Folder(str(tmp_path)))
    world.resume(0, 0)
    world.train(3)
    (tmp_path / "journal" / "attempt-0002.jsonl").write_bytes(b'{"kind":"attempt","attempt":2,')
    lineage = newest_lineage(world.folder)
    assert lineage is not None
    assert lineage.attempt == 1
    assert sum(row["kind"] == "metrics" for row in read_lineage(world.folder)) == 3
    assert next_attempt(world.folder) == 3, "its number is not used again"


class Server:
    """Stands in for MLflow: stores points by identity, as its SQL store does; fails on demand."""

    def __init__(self) -> None:
        self.points: set[tuple[str, int, int, float]] = set()
        self.tags: dict[str, str] = {}
        self.exists = False
        self.failure: str | None = None
        self.num_sent = 0

    def experiment(self, name: str) -> str:
        return "1"

    def find_run(self, experiment_id: str, tag: str, value: str) -> str | None:
        return "run" if self.exists and self.tags.get(tag) == value else None

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
        self.exists = True
        self.tags = dict(tags)
        return "run"

    def get_run(self, run_id: str) -> RemoteRun:
        self._maybe_unreachable()
        return RemoteRun({}, sorted({key for key, *_ in self.points}))

    def history(self, run_id: str, keys: Sequence[str], from_step: int) -> list[Point]:
        return [
            Point(key, value, time, step)
            for key, time, step, value in self.points
            if key in keys and step >= from_step
        ]

    def send(self, run_id: str, points: Sequence[Point]) -> list[tuple[Point, str]]:
        self._maybe_unreachable()
        self.num_sent += len(points)
        self.points |= {(p.key, p.time, p.step, p.value) for p in points}
        if self.failure == "lost answer":
            raise TrackingError("timed out after the server had stored the batch")
        return []

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._maybe_unreachable()
        self.tags.update(tags)

    def set_status(self, run_id: str, status: str, ended_at: int | None = None) -> None:
        self._maybe_unreachable()

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        self._maybe_unreachable()

    def _maybe_unreachable(self) -> None:
        if self.failure == "unreachable":
            raise TrackingError("connection refused")


def shipment_to(server: Server, folder: Folder) -> Shipment:
    shipment = Shipment(folder, TrackingSettings("http://server", "e"), Path("/"))
    shipment.target = server  # type: ignore[assignment]
    return shipment


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git processes and disk flushes, which these tests are not about."""
    monkeypatch.setattr(shipment_module, "origin_tags", lambda directory: {})
    monkeypatch.setattr(storage_module.os, "fsync", lambda descriptor: None)


SHIPPING = st.one_of(
    st.tuples(st.just("ship"), st.integers(1, 7)),
    st.tuples(st.just("lost answer"), st.integers(1, 7)),
    st.tuples(st.just("unreachable"), st.integers(1, 7)),
    st.tuples(st.just("killed"), st.integers(1, 7)),
    st.tuples(st.just("restarted"), st.just(0)),
    st.tuples(st.just("tracking.json lost"), st.just(0)),
)


LOST_AT_THE_CHECKPOINT_S_STEP = [
    ("checkpoint", 0),
    ("resume with other numbers", 1),
    ("evaluate", 0),
    ("ship", 1),
    ("resume", 1),
    ("evaluate", 0),
]


@pytest.mark.usefixtures("_quick")
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.one_of(TRAINING, SHIPPING), max_size=40))
@example(LOST_AT_THE_CHECKPOINT_S_STEP)
def test_the_server_gets_every_surviving_value_exactly_once(events: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world, server = World(Folder(directory)), Server()
        world.resume(0, 0)
        shipment = shipment_to(server, world.folder)
        for what, amount in events:
            if what in ("ship", "lost answer", "unreachable"):
                server.failure = what if what != "ship" else None
                ship(shipment, amount)
            elif what == "killed":
                shipment = kill_while_sending(shipment, server, amount)
            elif what in ("restarted", "tracking.json lost"):
                if what == "tracking.json lost":
                    world.folder.remove("tracking.json")
                shipment = shipment_to(server, world.folder)
            else:
                happen(world, what, amount)
        server.failure = None
        shipment.open()
        while shipment.send(5):
            pass
        check(world, server)
        before = server.num_sent
        again = shipment_to(server, world.folder)
        again.open()
        assert again.send(5) == 0
        assert server.num_sent == before, "a second synchronisation sends nothing"


def ship(shipment: Shipment, limit: int) -> None:
    try:
        shipment.open()
        shipment.send(limit)
    except TrackingError:
        pass


def kill_while_sending(shipment: Shipment, server: Server, limit: int) -> Shipment:
    """The process is gone after the server stored a batch and before that was written down."""
    server.failure = None
    shipment.open()
    server.failure = "lost answer"
    ship(shipment, limit)
    return shipment_to(server, shipment.folder)


def check(world: World, server: Server) -> None:
    assert server.points <= world.written, "a point that was never recorded, or a changed time"
    stored = Counter((key, step, value) for key, _, step, value in server.points)
    for entry in world.histories[world.attempt]:
        assert stored[entry.key, entry.step, entry.value] == 1, entry
    assert max(stored.values(), default=1) == 1, "a value twice under two times"
    different = Counter((key, step) for key, step, _ in stored)
    if max(different.values(), default=1) > 1:
        assert "trainwright.rewinds" in server.tags
