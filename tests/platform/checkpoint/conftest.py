"""Folders to write to (local, in memory, S3 on loopback) and ranks that save together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from trainwright.checkpoint import Checkpoint, CheckpointStore, CheckpointWriter, Piece
from trainwright.storage import Folder

HERE = Path(__file__).parent
SaveAll = Callable[..., Checkpoint]


@pytest.fixture
def local(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


@pytest.fixture
def memory() -> Iterator[Folder]:
    folder = Folder(f"memory://run-{uuid.uuid4().hex}")
    yield folder
    folder.remove("")


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest) -> Folder:
    return request.getfixturevalue(request.param)


@pytest.fixture
def save_all() -> SaveAll:
    """Save one checkpoint from all ranks of a world and open it."""

    def save(
        folder: Folder,
        step: int = 1,
        attempt: int = 1,
        *,
        ranks: Sequence[Sequence[Piece]] | None = None,
        state: Mapping[Any, Any] | None = None,
        rank_states: Sequence[Mapping[Any, Any] | None] | None = None,
        info: Mapping[str, object] | None = None,
        **options: Any,
    ) -> Checkpoint:
        ranks = simple_pieces(float(step)) if ranks is None else ranks
        world = len(ranks)
        writers = [CheckpointWriter(folder, rank, world, **options) for rank in range(world)]
        for rank in reversed(range(world)):
            writers[rank].save(
                step,
                attempt,
                ranks[rank],
                state,
                rank_states[rank] if rank_states else None,
                info or {},
            )
        for writer in writers:
            writer.wait()
        return CheckpointStore(folder).at(f"step-{step:08d}-a{attempt}")

    return save


def simple_pieces(value: float) -> list[list[Piece]]:
    """One weight of 300 elements, cut between two ranks at 128."""
    weight = torch.full((300,), value)
    return [
        [Piece("param", "model.fc.weight", (30, 10), 0, weight[:128])],
        [Piece("param", "model.fc.weight", (30, 10), 128, weight[128:])],
    ]


@pytest.fixture
def two_ranks() -> Callable[[float], list[list[Piece]]]:
    return simple_pieces


class Zygote:
    """A process with everything imported that forks groups of saving ranks quickly."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "saving_ranks.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._read()

    def start(self, **options: Any) -> list[int]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": "start", **options}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def join(self) -> list[int]:
        """The exit statuses of the ranks started last; -9 for a killed one."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": "join"}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    ranks = Zygote()
    yield ranks
    ranks.close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """A run folder in a bucket of an S3 server on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_http(url)
        options = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": url}}
        monkeypatch.setitem(fsspec.config.conf, "s3", options)
        fsspec.filesystem("s3").mkdir("bucket")
        yield Folder("s3://bucket/runs/one")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def _await_http(url: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
