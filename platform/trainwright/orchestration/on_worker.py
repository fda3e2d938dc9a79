"""What Ray Train calls on every worker."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.orchestration.failures import WorkerError, describe
from trainwright.orchestration.hangs import reporter
from trainwright.orchestration.leaving import leaving, listen_in_main_thread
from trainwright.orchestration.monitor import RemoteMonitor
from trainwright.orchestration.reach import adopt
from trainwright.orchestration.vitals import Vitals
from trainwright.orchestration.worker_logs import logging_to
from trainwright.storage import Folder
from trainwright.training.watchdog import watched
from trainwright.training.worker import Outcome, WorkOrder, work

SECONDS_FOR_THE_CAUSE = 1.0
"""A worker whose connections broke waits so long before it says so. The first failure ends the
group, and the process that died tells more than those it was connected to."""


@dataclass(frozen=True)
class Orders:
    """What every worker gets; plain values and a handle.

    Attributes:
        work: what to train.
        board: handle of the driver's :class:`~trainwright.orchestration.monitor.BoardActor`.
        stores: environment variables that say how object stores are reached.
        hang_timeout_s: longest time without progress.
    """

    work: WorkOrder
    board: Any
    stores: Mapping[str, str]
    hang_timeout_s: float | None


def on_worker(config: Mapping[str, Orders]) -> Outcome | None:
    """Train on this worker; worker 0 gives the outcome."""
    import ray.train
    from ray.train.torch import get_device

    orders = config["orders"]
    adopt(orders.stores)
    place = ray.train.get_context()
    rank, workers = place.get_world_rank(), place.get_world_size()
    folder = Folder(orders.work.run_url)
    with logging_to(folder, rank) as log, _monitor(orders.board, rank, workers, log) as monitor:
        listen_in_main_thread()
        try:
            with watched(orders.hang_timeout_s, rank, reporter(folder)):
                outcome = work(orders.work, monitor if rank == 0 else None, get_device())
        except Exception as error:
            failure = describe(error, rank)
            print(failure.trace, flush=True)
            if failure.cause == "connection":
                time.sleep(SECONDS_FOR_THE_CAUSE)
            raise WorkerError(failure) from None
    return outcome if rank == 0 else None


@contextlib.contextmanager
def _monitor(board: Any, rank: int, workers: int, log: Path) -> Iterator[RemoteMonitor]:
    monitor = RemoteMonitor(board, rank, lambda: Vitals.here(log, leaving()), workers)
    try:
        yield monitor
    finally:
        monitor.close()
