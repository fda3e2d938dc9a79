"""One driver for a run: who may train it now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from trainwright.errors import InputError, Problem
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking.lock import exclusive

LOCK = ".driver.lock"
LEASE_S = 45.0
"""Silence of a watched driver after which it is dead; it writes the record every ten seconds."""


@contextlib.contextmanager
def sole_driver(folder: Folder, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Keep every other process from training the run while the block runs.

    In a local folder a lock that dies with its process decides; elsewhere, and for drivers on
    other machines, what the run's record says, and whether it is still being written. That is the
    best there is without a lock in the store: two that start within a second may both begin. A
    driver that finds another one's name in the record stops, see ``live.try_to_save``.

    Args:
        folder: the run's folder.
        sleep: how to wait, in seconds, for a sign of life from another machine.

    Raises:
        InputError: another driver runs it.
    """
    with contextlib.ExitStack() as stack:
        if folder.is_local:
            lock = exclusive(folder.local_path() / LOCK, give_up=lambda: True)
            if not stack.enter_context(lock):
                raise _being_run(RunRecord.load(folder))
        record = RunRecord.load(folder)
        if record is not None and _is_alive(folder, record, sleep):
            raise _being_run(record)
        yield


def _is_alive(folder: Folder, record: RunRecord, sleep: Callable[[float], None]) -> bool:
    if record.true_status != "running" or not record.driver:
        return False
    if record.driver_is_here:
        return True
    waited = 0.0
    while waited < LEASE_S:
        sleep(5.0)
        waited += 5.0
        now = RunRecord.load(folder)
        if now is None or now.status != "running":
            return False
        if now.alive != record.alive:
            return True
    return False


def _being_run(record: RunRecord | None) -> InputError:
    driver = record.driver if record is not None else {}
    by = f"process {driver.get('pid')} on {driver.get('host')}" if driver else "another process"
    name = f"run {record.name}" if record is not None else "the run"
    message = f"{name} is being run already, by {by}"
    mend = "wait for it or stop it, or start anew beside it with --fresh"
    return InputError(Problem(path="", message=message, mend=mend))
