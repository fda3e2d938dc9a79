"""Runs as they lie in storage: one folder each, with a record of what became of it."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from trainwright.errors import InputError, Problem
from trainwright.storage import Folder
from trainwright.suggest import nearest, one_of

_log = logging.getLogger(__name__)

Status = Literal["running", "finished", "failed", "interrupted"]
Unit = Literal["steps", "rounds", "trials"]

RECORD = "run.json"
JOB = "job.yaml"
RESOLVED = "resolved.json"


@dataclass
class RunRecord:
    """What ``run.json`` holds.

    Attributes:
        name: the run's name, which is its folder's name.
        status: ``running`` until the driver says otherwise; a dead driver leaves it so.
        started: seconds since 1970 of the first start.
        finished: seconds since 1970 of the end of the newest attempt.
        seconds: training time over all attempts.
        steps: updates finished, rounds or trials.
        total_steps: updates, rounds or trials planned.
        unit: which of them they are.
        weights: trainable weights of the model and the objective; 0 where that is not known.
        workers: worker processes of the newest attempt; 0 for training in the driver's process.
        metrics: newest value of each evaluated metric, and the last training loss.
        mlflow: ``uri``, ``experiment`` and ``run_id``, as far as known.
        driver: ``host``, ``pid`` and ``born`` (seconds since 1970) of the process that runs it.
        alive: seconds since 1970 at which that process last wrote this record.
        error: why it failed.
        resumed_from: ``RUN@STEP`` when training was continued from another run.
        parent: name of the run (a comparison, say) under the same storage that this one is part of.
        base: folder of the job file on the machine of the driver.
    """

    name: str
    status: Status = "running"
    started: float = field(default_factory=time.time)
    finished: float | None = None
    seconds: float = 0.0
    steps: int = 0
    total_steps: int = 0
    unit: Unit = "steps"
    weights: int = 0
    workers: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    mlflow: dict[str, str | None] = field(default_factory=dict)
    driver: dict[str, Any] = field(default_factory=dict)
    alive: float = 0.0
    error: str | None = None
    resumed_from: str | None = None
    parent: str | None = None
    base: str = ""

    def claim(self) -> None:
        """Mark the run as run by this process."""
        self.status, self.finished, self.error = "running", None, None
        self.alive = time.time()
        pid = os.getpid()
        self.driver = {"host": socket.gethostname(), "pid": pid, "born": _born(pid)}

    @property
    def true_status(self) -> Status:
        """The status; ``interrupted`` where a driver died without saying so.

        One on this machine is looked for; one on another was silent for ten minutes.
        """
        if self.status != "running" or not self.driver:
            return self.status
        silent = not self.driver_is_here and time.time() - self.alive > SILENCE_S
        return "interrupted" if silent or self.driver_is_known_dead else "running"

    @property
    def driver_is_here(self) -> bool:
        """Whether the driver is, or was, a process of this machine."""
        return bool(self.driver.get("host") == socket.gethostname())

    @property
    def driver_is_known_dead(self) -> bool:
        """Whether the driver was a process of this machine that is no more.

        A later process may have its number, as in a container that was started again.
        """
        if not self.driver_is_here:
            return False
        born = _born(int(self.driver["pid"]))
        return born is None or abs(born - self.driver.get("born", born)) > _CLOCK_S

    def save(self, folder: Folder) -> None:
        """Write the record into its run folder."""
        self.alive = time.time()
        folder.write_json(RECORD, asdict(self))

    @classmethod
    def load(cls, folder: Folder) -> RunRecord | None:
        """The record of a run folder; None when there is none yet, or a damaged one.

        Fields written by a newer version are left out.
        """
        values = folder.read_object(RECORD)
        if values is None:
            return None
        known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
        try:
            return _checked().validate_python(known)
        except ValidationError as error:
            place = folder.join(RECORD)
            _log.warning("%s is damaged and passed over: %s", place, error.errors()[0]["msg"])
            return None


@cache
def _checked() -> TypeAdapter[RunRecord]:
    """Makes records out of values of the right types; costs a millisecond once."""
    return TypeAdapter(RunRecord)


SILENCE_S = 600.0
"""Silence after which a driver on another machine is dead: no two clocks are that far apart."""

_CLOCK_S = 2.0
"""How far apart two readings of a process's time of birth may lie when the clock was set."""


def _born(pid: int) -> float | None:
    """When a process of this machine started, in seconds since 1970; None if there is none."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def run_folder(storage: Folder, name: str, fresh: bool = False) -> Folder:
    """The folder of a run: the newest generation of ``name``, or with ``fresh`` the next one.

    Generations are ``name``, ``name.2``, ``name.3``...; earlier ones are kept as they are.
    """
    pattern = re.compile(re.escape(name) + r"(?:\.(\d+))?$")
    numbers = [
        int(match.group(1) or 1) for entry in storage.names() if (match := pattern.match(entry))
    ]
    newest = max(numbers, default=0)
    number = newest + 1 if fresh else max(newest, 1)
    return storage / (name if number == 1 else f"{name}.{number}")


def list_runs(storage: Folder) -> Iterator[tuple[Folder, RunRecord]]:
    """All runs under ``storage``, newest first."""
    found = []
    for name in storage.names():
        folder = storage / name
        record = RunRecord.load(folder)
        if record is not None:
            found.append((folder, record))
    yield from sorted(found, key=lambda item: item[1].started, reverse=True)


def find_run(storage: Folder, name: str) -> tuple[Folder, RunRecord]:
    """A run by its name, or by a beginning of it that only one run has.

    Raises:
        InputError: no such run, or several begin so.
    """
    names = [folder.url.rstrip("/").rsplit("/", 1)[-1] for folder, _ in list_runs(storage)]
    matches = [name] if name in names else [entry for entry in names if entry.startswith(name)]
    if len(matches) == 1:
        folder = storage / matches[0]
        record = RunRecord.load(folder)
        assert record is not None
        return folder, record
    raise InputError(
        Problem(
            path="RUN",
            message="several runs begin so" if matches else f"no such run in {storage.url}",
            got=name,
            allowed=one_of(matches or names) or "nothing has run here yet",
            nearest=nearest(name, names),
            mend="`trainwright runs` lists them; --storage looks elsewhere",
        )
    )
