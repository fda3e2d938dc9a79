"""The process that sends a run to MLflow while it trains.

The driver starts it (:class:`trainwright.tracking.process.ShipperProcess`) and keeps its
standard input open. The end of that input means that the driver has ended: the shipper then
sends what is left within ``--drain-timeout``, sets the final status that ``run.json`` names, and
exits. A record that still says running means that the driver died; MLflow is told KILLED.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trainwright.storage import Folder
from trainwright.tracking.children import Children
from trainwright.tracking.courier import Courier
from trainwright.tracking.family import children_of
from trainwright.tracking.files import journal_files
from trainwright.tracking.lock import exclusive, lock_path
from trainwright.tracking.settings import TrackingSettings, settings_of
from trainwright.tracking.shipment import Shipment
from trainwright.tracking.verdict import recorded_status
from trainwright.tracking.writer import leave_note

_log = logging.getLogger("trainwright.tracking.shipper")

EXIT_DONE = 0
EXIT_BEHIND = 3
EXIT_LOCKED = 4
EXIT_STUCK = 5
_NICENESS = 19  # below the workers, to whom Ray gives 15: training comes first
_STUCK_GRACE_S = 20.0
MOST_WAITED_S = 30.0
"""For the first row of a run, before MLflow is told of it."""


class DriverWatch:
    """Notices the driver's end: its pipe closes, its process is gone, or a signal says so.

    Attributes:
        gone: set once any of these happened.
        signalled: whether it was a signal, in which case the driver may be alive.
    """

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.signalled = False
        self._parent = os.getppid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_signal)
        threading.Thread(target=self._read_input, name="stdin", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Pause, but no longer than the driver lives; True when it is gone."""
        end = time.monotonic() + seconds
        while not self.gone.is_set():
            if self.signalled or os.getppid() != self._parent:
                self.gone.set()
            remaining = end - time.monotonic()
            if remaining <= 0:
                break
            self.gone.wait(min(1.0, remaining))
        return self.gone.is_set()

    def _read_input(self) -> None:
        try:
            while os.read(0, 4096):  # sys.stdin's lock would be held when the interpreter ends
                continue
        except OSError as error:
            _log.warning("standard input cannot be read: %s", error)
        self.gone.set()

    def _on_signal(self, number: int, frame: object) -> None:
        self.signalled = True  # an Event could be locked by the very code that was interrupted


class Verdict:
    """The final status as the run's record tells it; a lost driver is noted once."""

    def __init__(self, shipment: Shipment, watch: DriverWatch) -> None:
        self._shipment = shipment
        self._watch = watch
        self._noted = False

    def __call__(self) -> tuple[str | None, int | None]:
        """Status and end time; no status when the driver may still be running."""
        status, ended_at = recorded_status(self._shipment.folder)
        if status is not None or self._watch.signalled:
            return status, ended_at
        if not self._noted:
            message = "the driver ended without a final status"
            _log.warning("%s", message)
            leave_note(self._shipment.folder, self._shipment.attempt, message)
            self._noted = True
        return "KILLED", None


def ship(folder: Folder, settings: TrackingSettings, drain_timeout_s: float, poll_s: float) -> int:
    """Follow a run until its driver ends, then drain; the exit status.

    Args:
        folder: the run folder.
        settings: server and experiment.
        drain_timeout_s: seconds after the driver's end.
        poll_s: seconds between looks at the journal.
    """
    watch = DriverWatch()
    deadline: list[float] = []

    def out_of_time() -> bool:
        if watch.wait(0) and not deadline:
            deadline.append(time.monotonic() + drain_timeout_s)
            _end_if_stuck(drain_timeout_s)
        return bool(deadline) and time.monotonic() > deadline[0]

    with exclusive(lock_path(folder), out_of_time) as held:
        if not held:
            _log.warning("another process is sending this run")
            return EXIT_LOCKED
        shipment = Shipment(folder, settings, Path.cwd())
        children = Children(folder, settings.uri)
        courier = Courier(shipment, plots=not children_of(folder))
        wait_for_rows(folder, watch, poll_s)
        courier.follow(_between(children, watch), poll_s)
        out_of_time()
        done = courier.drain(deadline[0], Verdict(shipment, watch))
        done = children.drain(deadline[0]) and done
    return EXIT_DONE if done else EXIT_BEHIND


def wait_for_rows(folder: Folder, watch: DriverWatch, poll_s: float) -> None:
    """Let the run begin before MLflow is imported.

    That takes a second and a half of a processor, which the workers need for their own start.
    """
    end = time.monotonic() + MOST_WAITED_S
    try:
        while not journal_files(folder) and time.monotonic() < end and not watch.wait(poll_s / 5):
            continue
    except Exception as error:  # whatever the store's client raises; the courier is patient
        _log.warning("the journal cannot be looked for: %s", error)


def _between(children: Children, watch: DriverWatch) -> Callable[[float], bool]:
    """The driver's watch, with the pauses used to send children."""

    def wait(seconds: float) -> bool:
        while seconds > 0 and not watch.wait(0) and children.send_next():
            continue
        return watch.wait(seconds)

    return wait


def main(arguments: list[str] | None = None) -> int:
    """Command line of the shipper; the exit status."""
    parser = argparse.ArgumentParser(prog="trainwright.tracking.shipper", description=__doc__)
    parser.add_argument("--run", required=True, help="URL of the run folder")
    parser.add_argument(
        "--uri", default=os.environ.get("MLFLOW_TRACKING_URI"), help="MLflow tracking URI"
    )
    parser.add_argument("--experiment", help="MLflow experiment")
    parser.add_argument("--drain-timeout", type=float, default=30.0, help="seconds")
    parser.add_argument("--poll", type=float, help="seconds between looks at the journal")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    folder = Folder(options.run)
    settings = settings_of(folder, options.uri, options.experiment)
    poll_s = options.poll or (1.0 if folder.is_local else 5.0)
    return ship(folder, settings, options.drain_timeout, poll_s)


def _end_if_stuck(drain_timeout_s: float) -> None:
    """Leave for certain, even if a call of a storage client never returns."""
    timer = threading.Timer(drain_timeout_s + _STUCK_GRACE_S, os._exit, args=(EXIT_STUCK,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main())
