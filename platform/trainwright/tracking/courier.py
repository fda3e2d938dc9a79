"""Keeps a shipment going: patience with slow servers, backoff with absent ones, a last deadline."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeAlias

from trainwright.errors import TrackingError
from trainwright.tracking.plots import plot_run
from trainwright.tracking.shipment import Shipment
from trainwright.tracking.state import Phase
from trainwright.tracking.verdict import recorded_status

_log = logging.getLogger(__name__)

MAX_BATCH = 1000
MIN_BATCH = 50
MIN_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 60.0
FIRST_DELAY_S = 1.0
LAST_DELAY_S = 15.0
LAST_DELAY_DRAINING_S = 2.0
MAX_UPLOADS = 3

FinalStatus: TypeAlias = Callable[[], tuple[str | None, int | None]]
"""Gives the status to set at the end, if any, and the end time in milliseconds since 1970."""


class Pace:
    """How much to send at once, how long to wait for an answer, how long to pause after none.

    A request that ran into its time limit halves the next batch and doubles the limit, so that
    a slow server is neither given up nor asked in vain for ever.
    """

    def __init__(self) -> None:
        self.batch = MAX_BATCH
        self.timeout_s = MIN_TIMEOUT_S
        self._delay_s = FIRST_DELAY_S

    def succeeded(self) -> None:
        """A request was answered: back towards large batches and short limits."""
        self.batch = min(MAX_BATCH, self.batch * 2)
        self.timeout_s = max(MIN_TIMEOUT_S, self.timeout_s / 2)
        self._delay_s = FIRST_DELAY_S

    def failed(self, took_s: float) -> float:
        """A request failed after ``took_s`` seconds; the seconds to pause."""
        if took_s >= 0.9 * self.timeout_s:
            self.batch = max(MIN_BATCH, self.batch // 2)
            self.timeout_s = min(MAX_TIMEOUT_S, self.timeout_s * 2)
        pause = self._delay_s
        self._delay_s = min(LAST_DELAY_S, self._delay_s * 2)
        return pause * random.uniform(0.8, 1.2)  # noqa: S311


class Courier:
    """Repeats the steps of a shipment until they succeed or time is up; nothing escapes it.

    Args:
        shipment: the run to send.
        progress: called with the number of points sent by now, after each batch.
        plots: draw the plots of a run that has none yet.
    """

    def __init__(
        self,
        shipment: Shipment,
        progress: Callable[[int], None] | None = None,
        plots: bool = True,
    ) -> None:
        self._shipment = shipment
        self._progress = progress
        self._pace = Pace()
        self._plotted = not plots
        self._failed_uploads = 0

    def follow(self, wait: Callable[[float], bool], poll_s: float) -> None:
        """Send rows as they appear.

        Args:
            wait: pauses for some seconds; True when it is time to stop following.
            poll_s: seconds between looks at the journal.
        """
        self._set_phase("starting")
        pause = 0.0
        uploaded = False
        while not wait(pause):
            started = time.monotonic()
            try:
                self._shipment.target.timeout_s = self._pace.timeout_s
                self._shipment.open()
                sent = self._send_once()
                pause = 0.0 if sent else poll_s
                if not uploaded and not sent:
                    uploaded = True
                    self._shipment.upload(final=False)
            except Exception as error:  # whatever it is, training's rows stay in the journal
                pause = self._failed(error, time.monotonic() - started)

    def drain(
        self,
        deadline: float,
        final_status: FinalStatus,
    ) -> bool:
        """Send all that is left, set the final status, add plots and logs.

        Args:
            deadline: ``time.monotonic()`` at which to give up.
            final_status: status and end time to set; no status leaves MLflow's as it is.

        Returns:
            Whether all was done in time.
        """
        self._set_phase("draining")
        done = False
        while not done and (remaining := deadline - time.monotonic()) > 0:
            started = time.monotonic()
            try:
                self._shipment.target.timeout_s = min(self._pace.timeout_s, remaining)
                done = self._settle(deadline, final_status)
            except Exception as error:  # as above: the rows stay, sync sends them later
                pause = self._failed(error, time.monotonic() - started)
                remaining = max(0.0, deadline - time.monotonic())
                time.sleep(min(pause, LAST_DELAY_DRAINING_S, remaining))
        self._plot()
        self._conclude(done)
        return done

    def _settle(self, deadline: float, final_status: FinalStatus) -> bool:
        shipment = self._shipment
        shipment.open(status=None)
        while self._send_once():
            if time.monotonic() > deadline:
                return False
        status, ended_at = final_status()
        if status is not None:
            shipment.finish(status, ended_at)
        self._plot()
        try:
            shipment.upload(final=True)
        except TrackingError as error:  # files are not worth the whole time that rows are
            self._failed_uploads += 1
            if self._failed_uploads < MAX_UPLOADS:
                raise
            shipment.state.error = str(error)
        return True

    def _send_once(self) -> int:
        sent = self._shipment.send(self._pace.batch)
        self._pace.succeeded()
        state = self._shipment.state
        if state.error is not None or state.phase == "starting":
            state.error = None
            self._set_phase("sending" if state.phase in ("starting", "waiting") else state.phase)
        if sent and self._progress is not None:
            self._progress(self._shipment.num_sent)
        return sent

    def _failed(self, error: Exception, took_s: float) -> float:
        if isinstance(error, TrackingError):
            _log.warning("%s", error)
        else:
            _log.exception("unexpected failure while sending")
        state = self._shipment.state
        state.error = f"{type(error).__name__}: {error}"
        if state.phase != "draining":
            state.phase = "waiting"
        self._shipment.save()
        return self._pace.failed(took_s)

    def _plot(self) -> None:
        """Draw the plots, unless the driver of a finished run has done so."""
        if self._plotted:
            return
        self._plotted = True
        folder = self._shipment.folder
        try:
            if recorded_status(folder)[0] != "FINISHED" or not folder.names("plots"):
                plot_run(folder)
        except Exception:  # a plot is never worth a failed run
            _log.exception("the plots could not be made")

    def _conclude(self, done: bool) -> None:
        left = 0
        if not done:
            try:
                left = self._shipment.count_left()
            except Exception as error:  # the store of the run itself does not answer
                self._shipment.state.error = f"{type(error).__name__}: {error}"
        self._shipment.conclude("done" if done else "behind", left)

    def _set_phase(self, phase: Phase) -> None:
        self._shipment.state.phase = phase
        self._shipment.save()
