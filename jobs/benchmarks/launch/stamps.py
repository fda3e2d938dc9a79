"""When each stage of a launch ended, in a file that several processes append to."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import psutil


def stamp(file: str, stage: str, at: float | None = None) -> None:
    """Append a stage and the time at which it ended, seconds since 1970; by default now."""
    with Path(file).open("a") as stream:
        stream.write(json.dumps([stage, time.time() if at is None else at]) + "\n")


def stamp_ray(file: str) -> None:
    """Note, in a worker of Ray's, when Ray was asked to start, and when its processes were made.

    Stages ``init``, ``controller`` and ``worker``.
    """
    from ray._private import worker

    here = psutil.Process()
    session = Path(worker._global_node.get_session_dir_path()).name
    stamp(file, "init", session_start(session))
    for process in psutil.process_iter(["ppid", "cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if process.info["ppid"] == here.ppid() and "TrainController" in title:
            stamp(file, "controller", process_start(process))
    stamp(file, "worker", process_start(here))


def session_start(name: str) -> float:
    """The time in the name of a Ray session, ``session_2026-01-31_23-59-59_123456_PID``."""
    _, day, clock, micro, _ = name.split("_")
    whole = datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H-%M-%S")
    return whole.timestamp() + int(micro) / 1e6


def process_start(process: psutil.Process | None = None) -> float:
    """When a process, by default this one, was created, seconds since 1970.

    psutil's own answer is off by up to a second: it adds to the time at which the system was
    started, which is known in whole seconds.
    """
    after_boot = (process or psutil.Process()).create_time() - psutil.boot_time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot


def read_stamps(file: Path) -> dict[str, float]:
    """Stage -> the time at which it ended."""
    return dict(json.loads(line) for line in file.read_text().splitlines())
