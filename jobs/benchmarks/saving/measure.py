"""A training step while a checkpoint is being written in the background, and without one.

One process trains a network in plain PyTorch on one thread. In its turns "with" a checkpoint of
weights and optimizer state begins, as a run takes it, and updates are timed until it is written; in
the turns "without" nothing is written. What the S3 server takes is no part of it: it has the lowest
priority, and its processor time stands apart. See README.md beside this file.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import psutil
import torch
from common.pairs import Ratio, Side, interleave, ratio_of
from torch import nn

from trainwright.checkpoint import CheckpointWriter, Piece
from trainwright.checkpoint.files import file_sizes
from trainwright.storage import Folder

GOAL = 1.1
PLACES = ("local", "s3")
WIDTH = 1800
"""Of four square layers: 13 million weights, 156 MB with the state of AdamW."""

SAMPLES = 64
UPDATES = 12
"""In a turn without a checkpoint."""


LOWEST_PRIORITY = 19


@dataclass(frozen=True)
class SavingResult:
    """What came of one place.

    Attributes:
        place: ``local``, a folder on this machine's disk, or ``s3``, a server on loopback.
        size_bytes: of a checkpoint.
        ratio: of the seconds per update, while one is written over without.
        ours: seconds per update while one is written.
        bare: seconds per update without.
        pause: seconds that training stands still for the copy.
        writing: seconds until the checkpoint counts.
        updates: updates done meanwhile, over all pairs.
        background: seconds of processor time that this process takes for one, besides training.
        server: seconds of processor time that the server takes for one; None without one.
        goal: what the ratio shall not exceed.
    """

    place: str
    size_bytes: int
    ratio: Ratio
    ours: Side
    bare: Side
    pause: Side
    writing: Side
    updates: int
    background: Side
    server: Side | None
    goal: float = GOAL


@dataclass
class Trainee:
    """A network that is trained, and a writer of its checkpoints."""

    folder: Folder
    server: psutil.Process | None = None
    width: int = WIDTH
    updates: int = 0
    pauses: list[float] = field(default_factory=list)
    writings: list[float] = field(default_factory=list)
    backgrounds: list[float] = field(default_factory=list)
    servers: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        layers = [nn.Linear(self.width, self.width) for _ in range(4)]
        self.model = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.x = torch.randn(SAMPLES, self.width)
        self.writer = CheckpointWriter(self.folder, 0, 1, keep_last=1)
        self.step = 0
        self.update()

    def update(self) -> None:
        """One update."""
        self.optimizer.zero_grad()
        self.model(self.x).square().mean().backward()
        self.optimizer.step()
        self.step += 1

    def pieces(self) -> list[Piece]:
        """Weights and the state of the optimizer."""
        found = []
        for name, weight in self.model.named_parameters():
            state = self.optimizer.state[weight]
            for kind, tensor in (
                ("param", weight),
                ("exp_avg", state["exp_avg"]),
                ("exp_avg_sq", state["exp_avg_sq"]),
            ):
                found.append(Piece(kind, name, tuple(tensor.shape), 0, tensor.detach()))
        return found

    def without(self) -> float:
        """Seconds per update of a few."""
        began = time.perf_counter()
        for _ in range(UPDATES):
            self.update()
        return (time.perf_counter() - began) / UPDATES

    def with_checkpoint(self) -> float:
        """Seconds per update while a checkpoint is written, the pause for its copy apart."""
        asked, busy, served = time.perf_counter(), _besides_this_thread(), self._served()
        self.writer.save(self.step, 1, self.pieces(), {}, None, {})
        began = time.perf_counter()
        updates = 0
        while self.writer.is_writing:
            self.update()
            updates += 1
        seconds = time.perf_counter() - began
        self.writer.wait()
        self.pauses.append(began - asked)
        self.writings.append(time.perf_counter() - asked)
        self.backgrounds.append(_besides_this_thread() - busy)
        self.servers.append(self._served() - served)
        self.updates += updates
        return seconds / max(updates, 1)

    def forget(self) -> None:
        """Begin anew with what is measured of checkpoints."""
        for measured in (self.pauses, self.writings, self.backgrounds, self.servers):
            measured.clear()
        self.updates = 0

    def _served(self) -> float:
        """Seconds of processor time that the server has taken."""
        if self.server is None:
            return 0.0
        times = self.server.cpu_times()
        return float(times.user + times.system)


def _besides_this_thread() -> float:
    return time.process_time() - time.thread_time()


def compare(place: str, pairs: int, width: int = WIDTH) -> SavingResult:
    """Time one place; ``pairs`` count, one goes before them."""
    with storage(place) as (folder, server):
        trainee = Trainee(folder, server, width)
        interleave(trainee.with_checkpoint, trainee.without, 1)
        trainee.forget()
        ours, bare = interleave(trainee.with_checkpoint, trainee.without, pairs)
        (name,) = folder.names("checkpoints")
        size = sum(file_sizes(folder / "checkpoints" / name).values())
    return SavingResult(
        place,
        size,
        ratio_of(ours, bare),
        Side.of(ours),
        Side.of(bare),
        Side.of(trainee.pauses),
        Side.of(trainee.writings),
        trainee.updates,
        Side.of(trainee.backgrounds),
        None if server is None else Side.of(trainee.servers),
    )


@contextmanager
def storage(
    place: str, niceness: int = LOWEST_PRIORITY
) -> Iterator[tuple[Folder, psutil.Process | None]]:
    """A run's folder on the disk, or on an S3 server on loopback, and that server.

    Args:
        place: ``local`` or ``s3``.
        niceness: of the server.
    """
    if place == "local":
        folder = Path(tempfile.mkdtemp(prefix="trainwright-saving-"))
        try:
            yield Folder(str(folder / "run")), None
        finally:
            shutil.rmtree(folder)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port)
        process = psutil.Process(server.pid)
        # A store has machines of its own: this one gets what training and writing leave. Its
        # threads for connections, all of which begin later, have the priority of this one.
        process.nice(niceness)
        endpoint = {"endpoint_url": f"http://127.0.0.1:{port}"}
        fsspec.config.conf["s3"] = {"key": "k", "secret": "s", "client_kwargs": endpoint}
        fsspec.filesystem("s3").mkdir("bucket")
        yield Folder("s3://bucket/run"), process
    finally:
        fsspec.config.conf.pop("s3", None)
        server.kill()
        server.wait()


def _await(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
