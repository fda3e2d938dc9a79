"""``trainwright sync``: send what a run's journal holds and the tracking server lacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainwright.errors import TrackingError
from trainwright.storage import Folder
from trainwright.tracking.courier import Courier
from trainwright.tracking.files import journal_files
from trainwright.tracking.lock import exclusive, lock_path
from trainwright.tracking.settings import settings_of
from trainwright.tracking.shipment import Shipment
from trainwright.tracking.uri import check_uri
from trainwright.tracking.verdict import final_status


@dataclass(frozen=True)
class SyncReport:
    """What a synchronisation achieved.

    Attributes:
        sent: points sent now.
        left: points that the server still lacks.
        error: why something is left, or not complete; None when all is done.
        mlflow_run_id: the run in MLflow, if it exists.
    """

    sent: int
    left: int
    error: str | None
    mlflow_run_id: str | None


def sync(
    folder: Folder,
    *,
    uri: str | None = None,
    timeout_s: float = 60.0,
    progress: Callable[[int], None] | None = None,
    plots: bool = True,
) -> SyncReport:
    """Send one run's unsent rows, its final status, its files. Repeating it sends nothing twice.

    Args:
        folder: the run folder.
        uri: tracking URI; default: the one used before, the job's, or the storage's own.
        timeout_s: seconds to try.
        progress: called with the number of points confirmed by now.
        plots: draw the plots of a run that has none yet.
    """
    deadline = time.monotonic() + timeout_s
    try:
        settings = settings_of(folder, uri)
    except TrackingError as error:
        return SyncReport(0, 0, str(error), None)
    problems = check_uri(settings.uri)
    if problems:
        return SyncReport(0, 0, "\n".join(str(problem) for problem in problems), None)
    with exclusive(lock_path(folder), lambda: True) as held:
        shipment = Shipment(folder, settings, Path.cwd())
        state = shipment.state
        if not held:
            busy = "a shipper is sending this run at the moment"
            return SyncReport(0, shipment.count_left(), busy, state.mlflow_run_id)
        done = Courier(shipment, progress, plots).drain(deadline, lambda: final_status(folder))
    reason = state.error or (None if done else "the time was too short")
    return SyncReport(shipment.num_sent, state.left, reason, state.mlflow_run_id)


def sync_all(
    storage: Folder,
    *,
    timeout_s: float = 60.0,
    progress: Callable[[str, int], None] | None = None,
) -> dict[str, SyncReport]:
    """``sync`` for every run under a storage folder; run name -> report.

    Args:
        storage: the folder that holds the run folders.
        timeout_s: seconds to try, per run.
        progress: called with the run's name and the number of its points confirmed by now.
    """
    reports = {}
    for name in runs_with_journal(storage):

        def show(sent: int, name: str = name) -> None:
            if progress is not None:
                progress(name, sent)

        reports[name] = sync(storage / name, timeout_s=timeout_s, progress=show)
    return reports


def runs_with_journal(storage: Folder) -> list[str]:
    """The names of the run folders under ``storage`` that have a journal."""
    return [name for name in storage.names() if journal_files(storage / name)]
