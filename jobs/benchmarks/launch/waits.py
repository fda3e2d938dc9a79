"""What else a user waits for: help, the error of a mistake, a first update without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.pairs import Side

from launch.stamps import read_stamps

TIMEOUT_S = 300


@dataclass(frozen=True)
class Wait:
    """One thing that is waited for.

    Attributes:
        name: what it is.
        seconds: from the start of the command.
    """

    name: str
    seconds: Side


@dataclass(frozen=True)
class _Command:
    """A command, and what it ends with.

    Attributes:
        name: in the table.
        command: the program with its arguments.
        status: of its end.
        stamps: where it notes its first update; None where its end is waited for.
    """

    name: str
    command: list[str]
    status: int = 0
    stamps: Path | None = None

    def seconds(self) -> float:
        """Run it once."""
        if self.stamps is not None:
            self.stamps.unlink(missing_ok=True)
        began = time.time()
        done = subprocess.run(
            self.command,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=TIMEOUT_S,
            check=False,
        )
        ended = time.time()
        if done.returncode != self.status:
            raise RuntimeError(f"{' '.join(self.command)}:\n{done.stdout}\n{done.stderr}")
        return (ended if self.stamps is None else read_stamps(self.stamps)["update"]) - began


def measure_waits(job: Path, folder: Path, times: int, quick: bool) -> list[Wait]:
    """Each command a number of times, in turn; one more round goes before those that count.

    Args:
        job: a job that trains on workers.
        folder: takes runs.
        times: rounds that count.
        quick: the first round is among them.
    """
    commands = _commands(job, folder)
    count = times if quick else 1 + times
    rounds = [[command.seconds() for command in commands] for _ in range(count)]
    columns = zip(*rounds[-times:], strict=True)
    return [
        Wait(command.name, Side.of(seconds))
        for command, seconds in zip(commands, columns, strict=True)
    ]


def trainwright(verb: str, job: Path, overrides: Sequence[str]) -> list[str]:
    """A command line on a job."""
    given = [part for override in overrides for part in ("-s", override)]
    return [str(Path(sys.executable).with_name("trainwright")), verb, str(job), *given]


def _commands(job: Path, folder: Path) -> list[_Command]:
    stamps = folder / "local.jsonl"
    local = [f"strategies.0.file={stamps}", f"storage={folder / 'runs'}", "cluster.workers=0"]
    program = trainwright("run", job, [])[0]
    return [
        _Command("for scale: `python -c 'import torch'`", [sys.executable, "-c", "import torch"]),
        _Command("`trainwright --help`", [program, "--help"]),
        _Command(
            "`run` with a wrong key, to its error",
            trainwright("run", job, ["trainig.epochs=3"]),
            status=2,
        ),
        _Command(
            "`run` with a wrong option of a plugin, to its error",
            trainwright("run", job, ["optimizer.lrr=0.1"]),
            status=2,
        ),
        _Command("`validate`, all checks", trainwright("validate", job, [])),
        _Command(
            "`run` in this process (`cluster.workers: 0`), to the first update",
            [*trainwright("run", job, local), "--fresh"],
            stamps=stamps,
        ),
    ]
