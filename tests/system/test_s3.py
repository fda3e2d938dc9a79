"""Data, checkpoints, journal and exports on an S3 server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import sabotage
from chaos.servers import SECRET, ObjectStore, store_environment
from driving import KILLED, Command, drive, start, wait_until, write_job
from proxy import Proxy
from safetensors.torch import load
from sklearn.datasets import load_digits
from stories import Story

from trainwright.job import Job
from trainwright.orchestration.launch import run_job
from trainwright.runs import RunRecord
from trainwright.storage import Folder

pytestmark = pytest.mark.timeout(1200)

SABOTEUR = Path(__file__).parent / "plugins" / "saboteur.py"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server."""
    server = ObjectStore(tmp_path_factory.mktemp("store"))
    server.start()
    try:
        server.wait()
        yield server.uri
    finally:
        server.kill()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A bucket with the digits as parquet files; this process knows how to reach it."""
    for name, value in store_environment(endpoint).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = fsspec.filesystem("s3")
    name = f"bucket-{abs(hash(str(tmp_path)))}"
    files.mkdir(name)
    pixels, classes = load_digits(return_X_y=True)
    for part, rows in enumerate(np.array_split(np.arange(len(pixels)), 3)):
        table = pa.table({"pixels": list(pixels[rows] / 16.0), "digit": classes[rows]})
        with files.open(f"{name}/digits/part-{part}.parquet", "wb") as file:
            pq.write_table(table, file, row_group_size=200)
    yield name
    s3fs.S3FileSystem.clear_instance_cache()


def job(folder: Path, bucket: str, **changes: Any) -> Path:
    values = {
        "name": "s3",
        "data": {
            "source": f"s3://{bucket}/digits/*.parquet",
            "columns": {
                "image": {"type": "image", "from": "pixels", "shape": [1, 8, 8]},
                "target": {"type": "class", "from": "digit"},
            },
            "batch_size": 128,
            "validation": 0.2,
        },
        "model": {"name": "convnet", "width": 4, "dropout": 0.2},
        "objective": "cross_entropy",
        "optimizer": {"name": "adamw", "lr": 0.01},
        "training": {"epochs": 2, "checkpoint_every": "5 steps", "record_samples": True},
        "metrics": ["accuracy"],
        "cluster": {"workers": 0, "cpus_per_worker": 0.5},
        "storage": f"s3://{bucket}/runs",
        "tracking": {"enabled": False},
        **changes,
    }
    return write_job(folder, values)


def the_run(bucket: str) -> Folder:
    storage = Folder(f"s3://{bucket}/runs")
    (name,) = storage.names()
    return storage / name


def weights(run: Folder) -> dict[str, Any]:
    return load((run / "export").read_bytes("model.safetensors"))


def test_killed_and_continued_with_everything_on_s3(bucket: str, tmp_path: Path) -> None:
    """Journal segments, checkpoints and the record are objects; no local file is needed."""
    orders = tmp_path / "orders"
    orders.mkdir()
    (tmp_path / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
    strategies = [{"name": "saboteur.py:Saboteur", "orders": str(orders)}]
    path = job(tmp_path, bucket, strategies=strategies)
    assert drive(path, f"storage={tmp_path}/calm") == 0
    calm = next((tmp_path / "calm").iterdir())
    for order in ("loss-7-0", "state_dict-9-0", "writing-14-0", "evaluation-23-0"):
        (orders / order).touch()
    codes = []
    while not codes or codes[-1] != 0:
        assert len(codes) < 6
        codes.append(drive(path))
    assert codes.count(KILLED) >= 3
    run = the_run(bucket)
    mine, theirs = Story.of(run), Story.of(calm)
    assert mine.metrics == theirs.metrics
    assert mine.samples == theirs.samples
    assert len(mine.attempts) >= 3
    record = RunRecord.load(run)
    assert record is not None
    assert (record.status, record.steps) == ("finished", 24)
    own, other = weights(run), weights(Folder(str(calm)))
    assert all(own[name].equal(other[name]) for name in other)
    assert {"loss.png"} <= set(run.names("plots"))
    assert drive(path) == 0
    assert Story.of(run).attempts == mine.attempts, "a finished run on S3 says so"


@pytest.mark.slow
def test_the_server_goes_away_while_training_goes_on(
    endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints and the journal cannot be written for a while; nothing is missing in the end."""
    orders = tmp_path / "orders"
    orders.mkdir()
    (tmp_path / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
    path = job(
        tmp_path,
        bucket,
        strategies=[{"name": "saboteur.py:Saboteur", "orders": str(orders)}],
    )
    assert drive(path, f"storage={tmp_path}/calm") == 0
    proxy = Proxy(int(endpoint.rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.uri)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    holding = orders / "holding"
    for update in (7, 17):
        (orders / f"hold-{update}-0").touch()
    driver = start(path)
    wait_until(holding.exists, what="the first checkpoint")
    proxy.mode = "refuse"
    (orders / "hold-7-0").unlink()
    holding.unlink()
    wait_until(holding.exists, what="training without the server")
    proxy.mode = "pass"
    (orders / "hold-17-0").unlink()
    assert driver.wait() == 0
    proxy.stop()
    run, calm = the_run(bucket), Folder(str(next((tmp_path / "calm").iterdir())))
    mine, theirs = Story.of(run), Story.of(calm)
    assert mine.attempts == [1]
    assert mine.metrics == theirs.metrics
    assert mine.samples == theirs.samples
    own, other = weights(run), weights(calm)
    assert all(own[name].equal(other[name]) for name in other)


@pytest.mark.slow
def test_two_ray_workers_that_were_there_before_the_server(
    cluster: None, bucket: str, tmp_path: Path
) -> None:
    """The cluster knows nothing of the server; what this process's environment says must do."""
    path = job(tmp_path, bucket, **{"cluster": {"workers": 2, "cpus_per_worker": 0.5}})
    result = run_job(Job.load(path))
    assert result.status == "finished"
    run = the_run(bucket)
    assert len(Story.of(run).samples) == 24
    assert run.names("logs") == ["worker-0.log", "worker-1.log"]
    assert any(name.startswith("rank-00001-of-00002") for name in _checkpoint_files(run))
    assert list(weights(run))
    for file in _texts(run):
        assert SECRET.encode() not in run.read_bytes(file), file


@pytest.mark.slow
def test_a_driver_that_was_paused_does_not_write_over_its_successor(
    bucket: str, tmp_path: Path
) -> None:
    """No lock can help in a bucket: who finds another driver in the record stops."""
    orders = tmp_path / "orders"
    orders.mkdir()
    (tmp_path / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
    strategies = [{"name": "saboteur.py:Saboteur", "orders": str(orders)}]
    path = job(tmp_path, bucket, strategies=strategies)

    (orders / "hold-7-0").touch()
    paused = Command("run", path, folder=tmp_path)
    paused.until(lambda: (orders / "holding").exists(), "it reached the update")
    paused.send(signal.SIGSTOP)
    (orders / "hold-7-0").unlink()
    assert start(path, before=sabotage.be_elsewhere, arguments=["another"]).wait() == 0
    run = the_run(bucket)
    before, story = run.read_bytes("run.json"), Story.of(run)

    # Held again, so that it is still training when it finds out.
    (orders / "hold-9-0").touch()
    paused.send(signal.SIGCONT)
    paused.until(lambda: "was taken over by process" in paused.errors, "it found out")
    (orders / "hold-9-0").unlink()
    assert paused.wait() == 1
    assert "on another" in paused.errors
    assert "Traceback" not in paused.errors
    assert run.read_bytes("run.json") == before
    assert Story.of(run).metrics == story.metrics
    record = RunRecord.load(run)
    assert record is not None
    assert (record.status, record.driver["host"]) == ("finished", "another")


def _checkpoint_files(run: Folder) -> list[str]:
    return [file for step in run.names("checkpoints") for file in run.names(f"checkpoints/{step}")]


def _texts(run: Folder) -> list[str]:
    return [
        "run.json",
        "resolved.json",
        "job.yaml",
        *(f"logs/{name}" for name in run.names("logs")),
        *(f"journal/{name}" for name in run.names("journal")),
    ]


@pytest.mark.slow
def test_the_command_line_with_a_ray_of_its_own(endpoint: str, bucket: str, tmp_path: Path) -> None:
    path = job(tmp_path, bucket, **{"cluster": {"workers": 2, "cpus_per_worker": 0.5}})
    environment = store_environment(endpoint)
    command = Command("run", path, "--json", folder=tmp_path, environment=environment)
    assert command.wait() == 0, command.errors
    assert RunRecord.load(the_run(bucket)).status == "finished"


@pytest.mark.parametrize("away", [pytest.param("data.source", marks=pytest.mark.slow), "storage"])
def test_a_server_that_is_away_is_told_before_anything_starts(
    bucket: str, tmp_path: Path, away: str
) -> None:
    changes: dict[str, Any] = {"storage": "runs"}
    if away == "storage":
        changes = {"data": {"source": "digits", "validation": 0.2}}
    path = job(tmp_path, bucket, **changes)
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    command = Command("run", path, folder=tmp_path, environment=nowhere)
    assert command.wait() == 2, command.errors
    told = " ".join(command.errors.split())
    assert f"{away}: " in told
    assert "127.0.0.1:9" in told
    assert "Traceback" not in told
    assert not (tmp_path / "runs").exists()
