"""What is left of trials once nothing runs any more."""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.checkpoint.manifest import FOLDER as CHECKPOINTS
from trainwright.runs import RunRecord
from trainwright.search.trials import Trial
from trainwright.storage import Folder


def settle(trials: Sequence[Trial], storage: Folder) -> None:
    """Let the records of runs say how they ended; a stopped trial keeps no checkpoints.

    Args:
        trials: of the sweep.
        storage: where their runs are.
    """
    for trial in trials:
        if trial.state != "stopped" or trial.run is None:
            continue
        folder = storage / trial.run
        record = RunRecord.load(folder)
        if record is not None and record.status == "running":
            record.status = "interrupted"
            record.save(folder)
        if folder.exists(CHECKPOINTS):
            folder.remove(CHECKPOINTS)
