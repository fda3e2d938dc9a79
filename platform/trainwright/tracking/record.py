"""What the driver says about a run's fate in ``run.json``, and what MLflow is told of it."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trainwright.storage import Folder

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


@dataclass(frozen=True)
class RunRecord:
    """The fields of ``run.json`` that tracking needs.

    Attributes:
        status: ``running``, ``finished``, ``failed`` or ``interrupted``.
        finished_at: end in milliseconds since 1970, if the run has ended.
        host: machine of the driver, if recorded.
        pid: process id of the driver on that machine, if recorded.
    """

    status: str = "running"
    finished_at: int | None = None
    host: str | None = None
    pid: int | None = None

    @property
    def mlflow_status(self) -> str | None:
        """``FINISHED``, ``FAILED`` or ``KILLED``; None while the record says running."""
        return _STATUS.get(self.status)

    def driver_is_dead(self) -> bool:
        """Whether the record names a driver on this machine that no longer exists."""
        if self.host != socket.gethostname() or self.pid is None or os.name != "posix":
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def read_record(folder: Folder) -> RunRecord:
    """The run's record; one that says running when there is none or it cannot be parsed."""
    try:
        value = folder.read_json("run.json")
    except (FileNotFoundError, json.JSONDecodeError):
        return RunRecord()
    if not isinstance(value, dict):
        return RunRecord()
    pid = value.get("pid")
    return RunRecord(
        status=str(value.get("status", "running")),
        finished_at=_milliseconds(value.get("finished_at")),
        host=value.get("host"),
        pid=pid if isinstance(pid, int) else None,
    )


def _milliseconds(value: Any) -> int | None:
    """A time as milliseconds: from an ISO 8601 text, or from seconds since 1970."""
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)
        except ValueError:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value * 1000) if value < 1e11 else int(value)
    return None
