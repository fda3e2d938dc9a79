"""What a run under fire has left, held against the run without faults."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chaos.report import Happened, lost_and_still, windows
from chaos.scene import Scene
from chaos.trace import (
    Trace,
    different_losses,
    epochs_off,
    gaps,
    samples_off,
    server_gaps,
)
from trainwright.runs import RunRecord
from trainwright.storage import Folder


@dataclass(frozen=True)
class Evidence:
    """Everything to judge by.

    Attributes:
        trace: the run's journal.
        calm: that of the run without faults.
        points: (name, step, value) of what MLflow holds.
        statuses: of the runs in MLflow.
        steps: (time, number) of every update there ever was.
        began: when the command was given.
    """

    trace: Trace
    calm: Trace
    points: Sequence[tuple[Any, ...]]
    statuses: list[str]
    steps: Sequence[tuple[float, int]]
    began: float

    @classmethod
    def of(cls, scene: Scene, calm: Trace, began: float) -> Evidence:
        """Collect it."""
        database = scene.mlflow.database
        statuses = [status for _, _, status in database.runs()]
        trace = Trace.of(scene.run())
        return cls(trace, calm, database.values(), statuses, scene.steps(), began)

    def describe(self, happened: Sequence[Happened]) -> None:
        """Fill in what came of each fault."""
        starts = [self.began + entry.at_s for entry in happened]
        last = self.steps[-1][0] if self.steps else time.time()
        spans = zip(starts, [*starts[1:], max([last, *starts])], strict=True)
        parts = windows([entry.step for entry in happened], self.calm.last_step)
        for entry, window, (start, end) in zip(happened, parts, spans, strict=True):
            entry.lost, entry.still_s = lost_and_still(self.steps, start, end)
            entry.repeated, entry.missed = samples_off(self.trace, self.calm, window)
            entry.gaps = gaps(self.trace, self.calm, window)
            entry.server_gaps = server_gaps(self.points, self.trace, window)

    def claims(self, run: Folder) -> tuple[list[str], list[str]]:
        """What holds of the run as a whole, and what does not."""
        steps = range(self.calm.last_step + 1)
        ids = {i for lists in self.calm.samples.values() for told in lists for i in told}
        different = list(different_losses(self.trace, self.calm))
        repeated, missed = epochs_off(self.trace, len(ids))
        missing = gaps(self.trace, self.calm, steps)
        lacking = server_gaps(self.points, self.trace, steps)
        record = RunRecord.load(run)
        status = record.status if record else None
        judged = [
            ("every loss is that of the run without faults", not different, f"not {different[:9]}"),
            (
                f"every epoch has each of the {len(ids)} samples once",
                repeated == missed == 0,
                f"{repeated} repeated, {missed} missed",
            ),
            ("the journal has every number once", not missing, f"but for {missing}"),
            ("MLflow has every number", not lacking, f"but for {lacking}"),
            (
                "the run is finished, in its record and in MLflow",
                status == "finished" and self.statuses == ["FINISHED"],
                f"{status}, in MLflow {self.statuses}",
            ),
        ]
        return (
            [claim for claim, is_so, _ in judged if is_so],
            [f"{claim} ({otherwise})" for claim, is_so, otherwise in judged if not is_so],
        )
