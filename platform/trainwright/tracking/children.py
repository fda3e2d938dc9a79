"""Runs that are parts of another one (of a comparison, say), sent by their parent's shipper."""

from __future__ import annotations

import logging
import time

from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking.family import children_of
from trainwright.tracking.settings import storage_of
from trainwright.tracking.state import read_state
from trainwright.tracking.syncing import sync

_log = logging.getLogger(__name__)

SECONDS_FOR_ONE = 60.0


class Children:
    """Sends children that have ended, each whole and once, after their parent exists in MLflow.

    Args:
        folder: the parent's run folder.
        uri: MLflow tracking URI.
    """

    def __init__(self, folder: Folder, uri: str) -> None:
        self._folder = folder
        self._storage = storage_of(folder)
        self._uri = uri
        self._sent: set[str] = set()

    def send_next(self, timeout_s: float = SECONDS_FOR_ONE) -> bool:
        """Send one child that has ended since; whether there was one."""
        state = read_state(self._folder)
        if state is None or state.mlflow_run_id is None:
            return False
        for name in children_of(self._folder):
            if name not in self._sent and self._has_ended(name):
                self._sent.add(name)
                self._send(name, timeout_s)
                return True
        return False

    def drain(self, deadline: float) -> bool:
        """Send all that have ended; whether there was time enough.

        Args:
            deadline: ``time.monotonic()`` at which to give up.
        """
        while (left := deadline - time.monotonic()) > 0:
            if not self.send_next(min(left, SECONDS_FOR_ONE)):
                return True
        return False

    def _has_ended(self, name: str) -> bool:
        record = RunRecord.load(self._storage / name)
        if record is None or record.parent is None or record.status == "running":
            return False
        state = read_state(self._storage / name)
        return state is None or state.phase != "done" or not _says(state.status, record)

    def _send(self, name: str, timeout_s: float) -> None:
        report = sync(self._storage / name, uri=self._uri, timeout_s=timeout_s, plots=False)
        if report.error is not None:
            self._sent.discard(name)
            _log.warning("run %s is not sent whole: %s", name, report.error)


def _says(status: str | None, record: RunRecord) -> bool:
    """Whether MLflow was told the status that the record has."""
    told = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
    return told.get(record.status) == status
