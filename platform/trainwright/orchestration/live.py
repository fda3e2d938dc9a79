"""Keeping a run's record near the truth while its training goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.runs import RunRecord
from trainwright.storage import Folder

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 10.0

Show = Callable[[Mapping[str, Any]], None]


class LiveRecord:
    """Passes progress on and saves the newest step and metrics now and then.

    So that ``trainwright runs`` tells how far a run is, and how far one came that was killed.

    Args:
        record: the run's record; its ``steps`` and ``metrics`` are kept up to date.
        folder: the run's folder.
        show: gets everything that comes in.
        clock: seconds, for the time between saves.
    """

    def __init__(
        self,
        record: RunRecord,
        folder: Folder,
        show: Show,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record = record
        self._folder = folder
        self._show = show
        self._clock = clock
        self._saved = clock()

    def __call__(self, progress: Mapping[str, Any]) -> None:
        """Take the newest progress."""
        self._record.steps = int(progress.get("step", self._record.steps))
        self._record.total_steps = int(progress.get("total_steps", self._record.total_steps))
        self._record.metrics.update(progress.get("metrics", {}))
        if progress.get("loss") is not None:
            self._record.metrics["train/loss"] = float(progress["loss"])
        if self._clock() - self._saved >= SECONDS_BETWEEN_SAVES:
            self._saved = self._clock()
            self._save()
        self._show(progress)

    def _save(self) -> None:
        try:
            self._record.save(self._folder)
        except Exception as error:  # whatever the store's client raises; training goes on
            _log.warning("run.json cannot be written for now: %s", error)
