"""What is left of trials once nothing runs any more."""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.checkpoint.manifest import FOLDER as CHECKPOINTS
from trainwright.runs import RunRecord
from trainwright.search.trials import Trial, runs_of
from trainwright.storage import Folder


def settle(trials: Sequence[Trial], storage: Folder) -> None:
    """Let the records of runs say how they ended; a stopped trial keeps no checkpoints.

    Args:
        trials: those whose runs may have ended since; a stopped one learns its training time.
        storage: where their runs are.
    """
    for trial in trials:
        for run in runs_of([trial]):
            _settle(trial, storage / run)


def _settle(trial: Trial, folder: Folder) -> None:
    record = RunRecord.load(folder)
    if record is None:
        return
    if record.status == "running":  # its process was lost
        record.status = "failed" if trial.state == "failed" else "interrupted"
        record.error = trial.error
        record.save(folder)
    if trial.state == "stopped":
        trial.seconds = max(trial.seconds, record.seconds)
        trial.weights = trial.weights or record.weights
        if folder.exists(CHECKPOINTS):
            folder.remove(CHECKPOINTS)
