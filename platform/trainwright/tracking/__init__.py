"""Records of a run: a journal written during training, and its way to MLflow.

Importing this package loads neither MLflow nor matplotlib nor torch.
"""

from __future__ import annotations

from trainwright.tracking.lineage import (
    Lineage,
    continue_lineage,
    newest_lineage,
    next_attempt,
    read_all,
    read_lineage,
)
from trainwright.tracking.plots import plot_run
from trainwright.tracking.process import ShipperProcess
from trainwright.tracking.rows import AttemptRow, EventRow, MetricsRow, Row, SamplesRow
from trainwright.tracking.state import TrackingState, read_state
from trainwright.tracking.syncing import SyncReport, sync, sync_all
from trainwright.tracking.uri import check_uri, default_uri
from trainwright.tracking.writer import JournalWriter, leave_note

__all__ = [
    "AttemptRow",
    "EventRow",
    "JournalWriter",
    "Lineage",
    "MetricsRow",
    "Row",
    "SamplesRow",
    "ShipperProcess",
    "SyncReport",
    "TrackingState",
    "check_uri",
    "continue_lineage",
    "default_uri",
    "leave_note",
    "newest_lineage",
    "next_attempt",
    "plot_run",
    "read_all",
    "read_lineage",
    "read_state",
    "sync",
    "sync_all",
]
