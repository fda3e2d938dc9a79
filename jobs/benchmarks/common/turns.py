"""Sides in one process that work in turn: ours in threads, a bare one in the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from trainwright.job.models import TrainJob
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.storage import Folder
from trainwright.strategy import Context, Declares, Step, Strategy
from trainwright.tracking import JournalWriter, read_all
from trainwright.training.worker import WorkOrder, work


class Handover:
    """Lets a function in a thread go on for one turn at a time.

    The function calls :meth:`end_turn` now and then; there it waits until :meth:`turn` is called.
    """

    def __init__(self) -> None:
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, function: Callable[[], object]) -> None:
        """Run ``function`` up to the first end of a turn."""

        def guarded() -> None:
            self._go.acquire()
            try:
                function()
            except BaseException as error:
                self._error = error
            finally:
                self._back.release()

        self._thread = threading.Thread(target=guarded, name="ours", daemon=True)
        self._thread.start()
        self.turn()

    def turn(self) -> None:
        """Let the function go on to its next end of a turn, or to its own end.

        Raises:
            BaseException: what the function raised.
        """
        self._go.release()
        self._back.acquire()
        if self._error is not None:
            raise self._error

    def last_turn(self) -> None:
        """Let the function come to its end."""
        self.turn()
        if self._thread is not None:
            self._thread.join()

    def end_turn(self) -> None:
        """Called by the function: wait for the next turn."""
        self._back.release()
        self._go.acquire()


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
    """

    def __init__(self, job: TrainJob, folder: Path, rank: int = 0, side: str = "ours") -> None:
        self._folder = Folder(str(folder))
        values = job.model_dump(mode="json", by_alias=True)
        order = WorkOrder(job=values, base=str(folder), run_url=self._folder.url)
        monitor = LocalMonitor() if rank == 0 else None
        self._journals: list[JournalWriter] = []
        self._handover = Handover()
        Turns.workers[side] = self
        restore = noting(self._journals)
        try:
            self._handover.start(lambda: work(order, monitor))
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
