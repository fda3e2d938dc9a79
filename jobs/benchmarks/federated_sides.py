"""The processes that the federated benchmark measures, in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from trainwright.orchestration.processes import worker_environment

HERE = Path(__file__).resolve().parent
END_S = 120

ALIKE = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
"""One thread in each process; and Ray's have no lower priority than those without Ray."""


class Peer:
    """A process that does a block of rounds whenever it is told to, after the first one.

    Args:
        python: that runs it.
        script: beside this file.
        arguments: of the script, after the number of its end of the line.
        block: rounds in a turn.
        log: takes what it prints.

    Attributes:
        start_s: seconds from the command to the end of the first round.

    Raises:
        RuntimeError: it ended instead.
    """

    def __init__(
        self, python: Path, script: str, arguments: Sequence[object], block: int, log: Path
    ) -> None:
        self._line, end = Pipe()
        self._log = log
        self._block = block
        command = [str(python), str(HERE / script), *map(str, (end.fileno(), *arguments))]
        environment = {**os.environ, **worker_environment(1, False), **ALIKE}
        began = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, pass_fds=[end.fileno()]
            )
        end.close()
        self._answer()
        self.start_s = time.perf_counter() - began

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(END_S)

    def turn(self) -> float:
        """Do a block of rounds; the seconds that one of them took."""
        self._line.send("turn")
        seconds: float = self._answer()
        return seconds / self._block

    def end(self) -> Tensor:
        """Let the process come to its end; the weights that it kept, shape (d,).

        Raises:
            RuntimeError: it ended before the round whose weights it was to keep.
        """
        self._line.send("end")
        kept = self._answer()
        self._process.wait(END_S)
        if kept is None:
            raise RuntimeError(f"{self._process.args} has made too few rounds")
        return torch.from_numpy(kept)

    def _answer(self) -> Any:
        try:
            return self._line.recv()
        except EOFError:
            text = self._log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{self._process.args} ended:\n{text}") from None


class Sides:
    """Processes that work in turn.

    Args:
        folder: for their files.

    Attributes:
        peers: by name, in the order in which they were started.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self.peers: dict[str, Peer] = {}

    def __enter__(self) -> Sides:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(
        self, name: str, script: str, *arguments: object, block: int, python: str = sys.executable
    ) -> None:
        """Start one more, and wait until its first round is done."""
        log = self._folder / f"{len(self.peers)}.log"
        peer = Peer(Path(python), script, [block, *arguments], block, log)
        self.peers[name] = self._open.enter_context(peer)

    def start_ours(self, name: str, job: Mapping[str, Any], keep_after: int) -> None:
        """Start one of ours."""
        block = job["federation"]["aggregator"]["block"]
        file = self._folder / f"{len(self.peers)}.json"
        file.write_text(json.dumps(job))
        self.start(name, "federated_paced.py", keep_after, file, block=block)

    def timed(self, turns: int) -> dict[str, list[float]]:
        """Seconds of a round in each turn of each side; another one begins every time."""
        names = list(self.peers)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(turns):
            first = turn % len(names)
            order = [*names[first:], *names[:first]]
            for name in order if turn % 2 == 0 else order[::-1]:
                seconds[name].append(self.peers[name].turn())
        return seconds
