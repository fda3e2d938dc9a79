"""When each stage of a launch ended, in a file that several processes append to."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil


def stamp(file: str, stage: str, at: float | None = None) -> None:
    """Append a stage and the time at which it ended, seconds since 1970; by default now."""
    with Path(file).open("a") as stream:
        stream.write(json.dumps([stage, time.time() if at is None else at]) + "\n")


def process_start() -> float:
    """When this process was created, seconds since 1970."""
    return psutil.Process().create_time()


def read_stamps(file: Path) -> dict[str, float]:
    """Stage -> the time at which it ended."""
    return dict(json.loads(line) for line in file.read_text().splitlines())
