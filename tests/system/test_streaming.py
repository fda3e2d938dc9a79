"""Whole runs on streamed tables: workers that come and go, stores that fail, files that lie."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from driving import KILLED, Command, drive, write_job
from faulty_s3 import FaultyS3, faulty_s3
from stories import Story, assert_same_run, the_run, weights_of

from trainwright.errors import DataError, TrainwrightError
from trainwright.job import Job
from trainwright.orchestration.launch import run_job

pytestmark = pytest.mark.timeout(1200)

SABOTEUR = Path(__file__).parent / "plugins" / "saboteur.py"
FILES, GROUPS, ROWS = 3, 5, 61
NUM_ROWS = FILES * GROUPS * ROWS


def write_table(fs: Any, folder: str) -> None:
    """A line with noise: three files of five row groups."""
    rng = np.random.default_rng(0)
    for number in range(FILES):
        x = rng.normal(size=(GROUPS * ROWS, 4)).astype(np.float32)
        y = x @ np.float32([1, -2, 0.5, 0]) + rng.normal(scale=0.1, size=len(x))
        columns = {f"x{index}": x[:, index] for index in range(4)}
        with fs.open(f"{folder}/part-{number}.parquet", "wb") as file:
            pq.write_table(pa.table({**columns, "y": y}), file, row_group_size=ROWS)


def values(source: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "streamed",
        "data.source": source,
        "data.columns": {
            "features": {"type": "vector", "from": ["x0", "x1", "x2", "x3"]},
            "target": {"type": "value", "from": "y"},
        },
        "data.streaming": {"shards": 12, "window": 240},
        "data.batch_size": 64,
        "data.validation": 0.2,
        "data.transforms": ["standardize"],
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "mse",
        "optimizer": {"name": "adamw", "lr": 0.02},
        "training": {"epochs": 3, "checkpoint_every": "4 steps", "record_samples": True},
        "cluster": {"workers": 0, "cpus_per_worker": 0.5},
        "tracking": {"enabled": False},
        **changes,
    }


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("table")
    write_table(fsspec.filesystem("file"), str(folder))
    return f"{folder}/"


def sabotaged(folder: Path, source: str, **changes: Any) -> Path:
    """A job whose workers kill themselves where an order says so."""
    (folder / "orders").mkdir(parents=True, exist_ok=True)
    (folder / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
    strategies = [{"name": "saboteur.py:Saboteur", "orders": str(folder / "orders")}]
    return write_job(folder, values(source, strategies=strategies, **changes))


def run(job: Path, storage: Path, *overrides: str) -> Path:
    run_job(Job.load(job, [f"storage={storage}", *overrides]))
    return the_run(storage)


def sets_of(story: Story) -> dict[int, set[int]]:
    return {step: set(ids) for step, ids in story.samples.items()}


TWO = {"cluster": {"workers": 2, "cpus_per_worker": 0.5}}


def test_two_workers_see_what_one_process_sees(cluster: None, table: str, tmp_path: Path) -> None:
    job = write_job(tmp_path, values(table, **TWO))
    together = Story.of(run(job, tmp_path / "together"))
    alone = Story.of(run(job, tmp_path / "alone", "cluster.workers=0"))
    assert sets_of(alone) == sets_of(together)
    for name in ("train/loss", "validation/loss"):
        assert alone.curve(name) == pytest.approx(together.curve(name), abs=1e-5)
    steps = len(alone.samples) // 3
    for epoch in range(3):
        seen = [i for s in range(epoch * steps, (epoch + 1) * steps) for i in alone.samples[s + 1]]
        assert len(seen) == len(set(seen)) == NUM_ROWS * 4 // 5


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_nothing_shows(
    cluster: None, table: str, tmp_path: Path
) -> None:
    job = sabotaged(tmp_path, table, **TWO)
    undisturbed = run(job, tmp_path / "undisturbed")
    (tmp_path / "orders" / "loss-13-1").touch()
    killed = run(job, tmp_path / "killed")
    assert Story.of(killed).attempts == [1, 2]
    assert_same_run(killed, undisturbed)


@pytest.mark.slow
def test_a_driver_killed_again_and_again_loses_nothing(table: str, tmp_path: Path) -> None:
    job = sabotaged(tmp_path, table)
    assert drive(job, f"storage={tmp_path}/calm") == 0
    for order in ("loss-2-0", "state_dict-7-0", "evaluation-12-0", "updated-25-0"):
        (tmp_path / "orders" / order).touch()
    codes = []
    while not codes or codes[-1] != 0:
        assert len(codes) < 7
        codes.append(drive(job, f"storage={tmp_path}/runs"))
    assert codes.count(KILLED) >= 3
    assert_same_run(the_run(tmp_path / "runs"), the_run(tmp_path / "calm"))


def test_a_run_leaves_no_thread_behind(table: str, tmp_path: Path) -> None:
    run(write_job(tmp_path, values(table)), tmp_path / "runs", "training.epochs=1")
    left = [thread.name for thread in threading.enumerate()]
    assert not [name for name in left if name.startswith(("read ahead", "row groups", "footers"))]


@pytest.fixture(scope="module")
def store() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        yield server


@pytest.fixture
def bucket(
    store: FaultyS3, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The table on the server, which this process knows how to reach."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": store.url,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    fs = fsspec.filesystem("s3")
    name = "b-" + str(abs(hash(request.node.name)))
    fs.mkdir(name)
    write_table(fs, f"{name}/table")
    yield name
    store.fails = lambda path: False
    s3fs.S3FileSystem.clear_instance_cache()


class EveryFew:
    """Fails a request now and then, the same one twice in a row."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, path: str) -> bool:
        self.asked += 1
        return self.asked % 9 in (2, 3)


def test_a_store_that_fails_now_and_then_changes_nothing(
    store: FaultyS3,
    bucket: str,
    table: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("trainwright.data.streaming.patience.FIRST_WAIT_S", 0.01)
    quick = {"training": {"epochs": 1, "record_samples": True}}
    calm = run(write_job(tmp_path, values(table, **quick)), tmp_path / "calm")
    path = write_job(tmp_path / "s3", values(f"s3://{bucket}/table/", **quick))
    job = Job.load(path, [f"storage={tmp_path}/s3/runs"])
    store.fails, failed = EveryFew(), store.failed
    with caplog.at_level(logging.WARNING):
        run_job(job)
    assert store.failed > failed + 5
    assert f"s3://{bucket}/table/part-" in caplog.text
    assert "attempt 2 of 6 follows" in caplog.text
    disturbed = the_run(tmp_path / "s3" / "runs")
    assert Story.of(disturbed).samples == Story.of(calm).samples
    mine, theirs = weights_of(disturbed), weights_of(calm)
    assert all(mine[name].equal(theirs[name]) for name in theirs)


def test_a_store_that_goes_away_ends_the_run_with_file_and_row_group(
    store: FaultyS3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While training waits for the thread that reads: the error comes through."""
    changes = {"data.streaming": {"shards": 12, "window": 60, "retries": 1}, "data.batch_size": 16}
    path = write_job(tmp_path, values(f"s3://{bucket}/table/", **changes))
    monkeypatch.setattr("trainwright.data.streaming.patience.FIRST_WAIT_S", 0.01)
    from trainwright.training.loop import Loop

    update = Loop._update

    def then_gone(self: Loop, index: int, *rest: Any) -> None:
        if index == 5:
            store.fails = lambda path: True
        update(self, index, *rest)

    monkeypatch.setattr(Loop, "_update", then_gone)
    with pytest.raises(TrainwrightError) as caught:
        run(path, tmp_path / "runs")
    told = str(caught.value)
    assert f"s3://{bucket}/table/part-" in told
    assert "row group" in told
    assert "after 2 attempts" in told


def rewritten(folder: Path, number: int, change: Any) -> None:
    path = folder / f"part-{number}.parquet"
    pq.write_table(change(pq.read_table(path)), path, row_group_size=ROWS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.drop_columns(["x2"]), "there is no column 'x2' in"),
        (
            lambda table: table.set_column(1, "x1", table["x1"].cast(pa.string())),
            "column 'x1' has different types in different files",
        ),
    ],
    ids=["missing", "type"],
)
def test_files_that_differ_are_told_before_anything_starts(
    tmp_path: Path, change: Any, told: str
) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    write_table(fsspec.filesystem("file"), str(folder))
    rewritten(folder, 1, change)
    with pytest.raises(DataError, match=told) as caught:
        run(write_job(tmp_path, values(f"{folder}/")), tmp_path / "runs")
    assert "part-1.parquet" in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_damage_far_inside_is_told_by_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    write_table(fsspec.filesystem("file"), str(folder))
    path = folder / "part-2.parquet"
    column = pq.ParquetFile(path).metadata.row_group(3).column(1)
    content = bytearray(path.read_bytes())
    place = column.dictionary_page_offset or column.data_page_offset
    content[place : place + 24] = bytes(24)
    path.write_bytes(content)
    job = write_job(tmp_path, values(f"{folder}/", **{"data.validation": None}))
    command = Command("run", job, folder=tmp_path)
    assert command.wait() != 0
    told = " ".join(command.errors.split())
    assert "part-2.parquet cannot be read as parquet (row group 3, column 'x1')" in told
    assert "Traceback" not in told
