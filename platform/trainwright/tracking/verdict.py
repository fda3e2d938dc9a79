"""The final status that MLflow is told, as the run's record has it."""

from __future__ import annotations

from trainwright.runs import RunRecord
from trainwright.storage import Folder

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


def recorded_status(folder: Folder) -> tuple[str | None, int | None]:
    """What the driver wrote last: MLflow's name of the status, end in milliseconds since 1970.

    The status is ``FINISHED``, ``FAILED`` or ``KILLED``; None when the record says running or
    is missing.
    """
    record = RunRecord.load(folder)
    if record is None or record.status not in _STATUS:
        return None, None
    ended_at = int(record.finished * 1000) if record.finished is not None else None
    return _STATUS[record.status], ended_at


def final_status(folder: Folder) -> tuple[str | None, int | None]:
    """``recorded_status``, with KILLED for a driver that died without a word."""
    status, ended_at = recorded_status(folder)
    if status is None:
        record = RunRecord.load(folder)
        if record is not None and record.true_status == "interrupted":
            return "KILLED", None
    return status, ended_at
