"""Telling how a run fares while it goes on, and keeping its record near the truth."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from trainwright.errors import Interrupted, LeaseLost, RunError
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.runs import RunRecord
from trainwright.secrets import mask
from trainwright.storage import Folder, cause_of

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 10.0

Show = Callable[[Mapping[str, Any]], None]


class LiveRecord:
    """Passes progress on; as a context, saves the record now and then.

    So that ``trainwright runs`` tells how far a run is, and how far one came that was killed, and
    other machines see that its driver lives, whatever that is doing.

    Args:
        record: the run's record; its ``steps`` and ``metrics`` are kept up to date.
        folder: the run's folder.
        show: gets everything that comes in.
        interval_s: seconds between saves.
    """

    def __init__(
        self,
        record: RunRecord,
        folder: Folder,
        show: Show,
        interval_s: float = SECONDS_BETWEEN_SAVES,
    ) -> None:
        self._record = record
        self._folder = folder
        self._show = show
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._lost: LeaseLost | None = None
        self._listener: Callable[[], None] = lambda: None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_saving, name="record", daemon=True)

    def when_lost(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when another driver has taken the run over."""
        self._listener = listener

    def check(self) -> None:
        """Refuse to go on with a run that another driver has taken over.

        Raises:
            LeaseLost: one has.
        """
        if self._lost is not None:
            raise self._lost

    def __call__(self, progress: Mapping[str, Any]) -> None:
        """Take the newest progress; each remark of the workers is passed on once."""
        progress = dict(progress)
        for remark in progress.pop("remarks", ()):
            if remark not in self._told:
                self._told.add(remark)
                self._show({"remark": remark})
        with self._lock:
            self._record.steps = int(progress.get("step", self._record.steps))
            self._record.total_steps = int(progress.get("total_steps", self._record.total_steps))
            self._record.workers = int(progress.get("workers", self._record.workers))
            self._record.metrics.update(progress.get("metrics", {}))
            if progress.get("loss") is not None:
                self._record.metrics["train/loss"] = float(progress["loss"])
        self._show(progress)

    def __enter__(self) -> LiveRecord:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep_saving(self) -> None:
        while not self._over.wait(self._interval_s):
            with self._lock:
                failure = try_to_save(self._record, self._folder)
            if isinstance(failure, LeaseLost):
                self._lost = failure
                self._show({"remark": f"{failure}; stopping"})
                self._listener()
                return


@contextlib.contextmanager
def showing(monitor: LocalMonitor, show: Show) -> Iterator[None]:
    """Show the newest progress a few times a second, from a thread, while the block runs."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.2):
            tell()
        tell()

    def tell() -> None:
        show({**monitor.progress(), "stopping": monitor.stop_requested})

    thread = threading.Thread(target=beat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def true_ending(record: RunRecord, folder: Folder) -> Iterator[None]:
    """Save the record when the block ends, with its time, and how it failed if it did.

    Raises:
        LeaseLost: another driver has taken the run over, and the record is that one's.
        RunError: all went well, but the record cannot be saved.
    """
    before, began = record.seconds, time.monotonic()
    unsaved: Exception | None = None

    def end() -> None:
        nonlocal unsaved
        record.seconds = before + time.monotonic() - began
        record.finished = time.time()
        unsaved = try_to_save(record, folder)

    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, (KeyboardInterrupt, Interrupted))
        record.status = "interrupted" if stopped else "failed"
        record.error = mask(str(error)) or type(error).__name__
        end()
        raise
    end()
    if isinstance(unsaved, LeaseLost):
        raise unsaved
    if unsaved is not None:
        raise RunError(
            f"training has ended, but run.json cannot be written in {folder.url}: "
            f"{cause_of(unsaved)}. Make room there or mend the store; the same command then goes on"
        )


def try_to_save(record: RunRecord, folder: Folder) -> Exception | None:
    """Save a record, unless another driver has taken the run over; why it was not is returned."""
    try:
        owner = RunRecord.load(folder)
        if owner is not None and owner.driver not in ({}, record.driver):
            return LeaseLost(
                f"run {record.name} was taken over by process {owner.driver.get('pid')} on "
                f"{owner.driver.get('host')}, for this driver was silent for too long"
            )
        record.save(folder)
    except Exception as error:  # whatever the store's client raises; training goes on
        _log.warning("run.json cannot be written for now: %s", cause_of(error))
        return error
    return None
