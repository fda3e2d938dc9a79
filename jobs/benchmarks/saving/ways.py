"""The process that saves and restores one state in all ways, turn by turn.

python -m saving.ways LINE BLOCK PLACE SIZE_BYTES, started by ``sizes.py``.
"""

from __future__ import annotations

import sys
import time
from multiprocessing.connection import Connection

import torch
from common.pace import Pace
from torch import nn

from saving.measure import storage
from saving.sizes import OURS
from saving.torch_ways import TORCH, Saved, Trained, Way
from trainwright.checkpoint import CheckpointStore, CheckpointWriter
from trainwright.engine.base import EngineSettings
from trainwright.engine.local import LocalEngine
from trainwright.engine.module import NamedModel, TrainModule
from trainwright.storage import Folder


class Ours(Way):
    """Our checkpoints, as a run on one worker writes them and goes on from them."""

    def __init__(self, trained: Trained, url: str) -> None:
        super().__init__(trained, url)
        self._folder = Folder(url)
        self._writer = CheckpointWriter(self._folder, 0, 1, keep_last=1)
        module = TrainModule(NamedModel(trained.model), nn.Identity())
        self._engine = LocalEngine(module, trained.optimizer, EngineSettings())
        self._step = 0

    def save(self) -> Saved:
        self._step += 1
        began = time.perf_counter()
        self._writer.save(self._step, 1, self._engine.pieces(), {}, None, {})
        stall = time.perf_counter() - began
        self._writer.wait()
        return Saved(stall, time.perf_counter() - began)

    def restore(self) -> None:
        checkpoint = CheckpointStore(self._folder).latest()
        assert checkpoint is not None
        self._engine.load(checkpoint)


class Measured:
    """Saves and restores in all ways, each first in turn.

    Args:
        trained: what is saved.
        url: folder for all checkpoints.

    Attributes:
        seconds: of each way ``stall``, ``written`` and ``restore``, a number for each turn.
    """

    def __init__(self, trained: Trained, url: str) -> None:
        self._trained = trained
        ways = {OURS: Ours, **TORCH}
        self._ways: dict[str, Way] = {
            name: way(trained, f"{url}/{number}") for number, (name, way) in enumerate(ways.items())
        }
        self._turn = 0
        self.seconds: dict[str, tuple[list[float], ...]] = {}
        self.forget()

    def forget(self) -> None:
        """Begin anew with what is measured."""
        self.seconds = {name: ([], [], []) for name in self._ways}

    def turn(self) -> None:
        """One checkpoint of each way.

        Raises:
            AssertionError: what was restored is not what was saved.
        """
        names = list(self._ways)
        first = self._turn % len(names)
        for name in (*names[first:], *names[:first]):
            self._measure(name)
        self._turn += 1

    def _measure(self, name: str) -> None:
        way, before = self._ways[name], [tensor.clone() for tensor in self._trained.tensors()]
        stall, written = way.save()
        for tensor in self._trained.tensors():
            tensor.zero_()
        began = time.perf_counter()
        way.restore()
        restored = time.perf_counter() - began
        after = self._trained.tensors()
        assert all(map(torch.equal, before, after)), f"{name} restores something else"
        for kept, seconds in zip(self.seconds[name], (stall, written, restored), strict=True):
            kept.append(seconds)


def main() -> None:
    """Serve the benchmark at the other end of the line."""
    line, _, place, size_bytes = sys.argv[1:]
    torch.set_num_threads(1)
    pace = Pace(Connection(int(line)))
    with storage(place, niceness=0) as (folder, _server):  # nothing trains beside it
        measured = Measured(Trained(int(size_bytes)), folder.url)
        measured.turn()  # it takes memory, which is kept
        measured.forget()
        pace.serve(measured.turn)
        pace.end(measured.seconds)


if __name__ == "__main__":
    main()
