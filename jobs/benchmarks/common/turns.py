"""Sides in one process that work in turn: ours in threads, a bare one in the main thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from common.handover import Handover
from trainwright.data.loading import Splits
from trainwright.job.models import TrainJob
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.storage import Folder
from trainwright.strategy import Context, Declares, Step, Strategy
from trainwright.tracking import JournalWriter, read_all
from trainwright.training.worker import WorkOrder, work


class Turns(Strategy):
    """Ends a side's turn every ``block`` updates; a probe that the benchmarked job contains.

    Args:
        block: updates in one turn.
        side: name of the :class:`Worker` whose turn it is.
    """

    declares = Declares(probe=True)
    workers: ClassVar[dict[str, Worker]] = {}

    def __init__(self, block: int, side: str = "ours") -> None:
        self.block = block
        self._worker = Turns.workers.get(side)

    def begin(self, context: Context) -> None:
        if self._worker is not None:
            self._worker.end_turn()

    def updated(self, step: Step) -> None:
        if self._worker is not None and (step.index + 1) % self.block == 0:
            self._worker.end_turn()


class Worker:
    """A worker as the driver starts it, with its journal, system metrics and progress.

    Args:
        job: has the strategy :class:`Turns`.
        folder: where the run goes. It should lie in memory: a run writes its journal in the
            background, but here a turn ends only when all is written, lest that work falls into
            the other side's time, and waiting for a disk is no part of it.
        rank: of this process.
        side: as ``Turns`` is told.
        splits: the job's data, where this process has it already.
    """

    def __init__(
        self,
        job: TrainJob,
        folder: Path,
        rank: int = 0,
        side: str = "ours",
        splits: Splits | None = None,
    ) -> None:
        self._folder = Folder(str(folder))
        values = job.model_dump(mode="json", by_alias=True)
        order = WorkOrder(job=values, base=str(folder), run_url=self._folder.url)
        monitor = LocalMonitor() if rank == 0 else None
        self._journals: list[JournalWriter] = []
        self._handover = Handover()
        Turns.workers[side] = self
        restore = noting(self._journals)
        try:
            self._handover.start(lambda: work(order, monitor, splits=splits))
        finally:
            restore()

    def end_turn(self) -> None:
        """Called by the worker: write what there is, and wait for the next turn."""
        for journal in self._journals:
            journal.flush()
        self._handover.end_turn()

    def turn(self) -> None:
        """Train for one turn."""
        self._handover.turn()

    def close(self) -> None:
        """Let the worker come to its end."""
        self._handover.last_turn()

    def losses(self) -> list[float]:
        """The loss of every update, from the journal; on worker 0 after :meth:`close`."""
        rows = [row["values"] for row in read_all(self._folder) if row["kind"] == "metrics"]
        return [values["train/loss"] for values in rows if "train/loss" in values]


def noting(opened: list[JournalWriter]) -> Callable[[], None]:
    """Put every journal that is opened from now on into a list; the answer ends that."""
    original = JournalWriter.__init__

    def noted(self: JournalWriter, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        opened.append(self)

    def restore() -> None:
        JournalWriter.__init__ = original  # type: ignore[method-assign]

    JournalWriter.__init__ = noted  # type: ignore[method-assign]
    return restore
