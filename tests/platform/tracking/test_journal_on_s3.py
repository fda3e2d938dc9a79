"""Journal, cursor and synchronisation on an S3 server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, read_lineage, read_state, sync


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """A run folder in a bucket of a fresh server."""
    import s3fs

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=dict(os.environ), **quiet)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("runs")
        yield Folder("s3://runs/storage/run-1")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.kill()
        server.wait()


def test_a_run_in_a_bucket_is_journalled_and_sent(bucket: Folder, database: Any) -> None:
    with JournalWriter(bucket, 1, [], 1, interval_s=0.1) as journal:
        for step in range(1, 101):
            journal.metrics(step, {"train/loss": 1 / step})
            if step % 25 == 0:
                assert journal.flush()
    assert bucket.names("journal") == ["attempt-0001-000001.jsonl"]
    assert sync(bucket, uri=database.uri).sent == 100
    with JournalWriter(bucket, 2, [[1, 80]], 1) as journal:
        for step in range(81, 121):
            journal.metrics(step, {"train/loss": 1 / step})
    report = sync(bucket)
    assert (report.sent, report.left, report.error) == (20, 0, None)
    expected = [("train/loss", step, 1 / step) for step in range(1, 121)]
    assert database.values() == expected
    rows = [row for row in read_lineage(bucket) if row["kind"] == "metrics"]
    assert [row["step"] for row in rows] == list(range(1, 121))
    state = read_state(bucket)
    assert state is not None
    assert state.phase == "done"
    assert "loss.png" in bucket.names("plots")
