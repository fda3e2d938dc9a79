"""Processes that are measured in turn, each at its end of a line (``pace.py``)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from common.children import IMPORTS
from trainwright.orchestration.processes import worker_environment

END_S = 120

ALIKE = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
"""One thread in each process; and Ray's have no lower priority than those without Ray."""


class Turn(NamedTuple):
    """What one unit of work took in a turn.

    Attributes:
        wall: seconds that passed.
        cpu: seconds of processor of the process, without those of its children.
    """

    wall: float
    cpu: float


class Process:
    """A process that does a block of work whenever it is told to, once it is ready.

    Args:
        python: that runs it.
        module: in the folder of the benchmarks; it serves a ``Pace``.
        arguments: of the module, after the number of its end of the line.
        block: units of work in a turn.
        log: takes what it prints.

    Attributes:
        start_s: seconds from the command until it was ready.

    Raises:
        RuntimeError: it ended instead.
    """

    def __init__(
        self, python: Path, module: str, arguments: Sequence[object], block: int, log: Path
    ) -> None:
        self._line, end = Pipe()
        self._log = log
        self._block = block
        command = [str(python), "-m", module, *map(str, (end.fileno(), *arguments))]
        environment = {**os.environ, **worker_environment(1, False), **ALIKE, **IMPORTS}
        began = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, pass_fds=[end.fileno()]
            )
        end.close()
        self._answer()
        self.start_s = time.perf_counter() - began

    def __enter__(self) -> Process:
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

    def turn(self) -> Turn:
        """Do a block of work; what one unit of it took."""
        self._line.send("turn")
        wall, cpu = self._answer()
        return Turn(wall / self._block, cpu / self._block)

    def end(self) -> Any:
        """Let the process come to its end; what it hands over."""
        self._line.send("end")
        kept = self._answer()
        self._process.wait(END_S)
        return kept

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
        processes: by name, in the order in which they were started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = ExitStack()
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Sides:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(
        self,
        name: str,
        module: str,
        *arguments: object,
        block: int,
        python: str | Path = sys.executable,
    ) -> None:
        """Start one more, which is told ``block`` and ``arguments``, and wait until it is ready."""
        log = self.folder / f"{len(self.processes)}.log"
        process = Process(Path(python), module, [block, *arguments], block, log)
        self.processes[name] = self._open.enter_context(process)

    def timed(self, turns: int) -> dict[str, list[Turn]]:
        """What one unit of work took in each turn of each; another one begins every time."""
        names = list(self.processes)
        found: dict[str, list[Turn]] = {name: [] for name in names}
        for turn in range(turns):
            first = turn % len(names)
            order = [*names[first:], *names[:first]]
            for name in order if turn % 2 == 0 else order[::-1]:
                found[name].append(self.processes[name].turn())
        return found


def seconds(turns: dict[str, list[Turn]]) -> dict[str, list[float]]:
    """The seconds that passed, of each."""
    return {name: [turn.wall for turn in found] for name, found in turns.items()}
