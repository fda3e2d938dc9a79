"""Remarks of a worker to whoever looks after the run."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from trainwright.secrets import mask
from trainwright.tracking import JournalWriter
from trainwright.training.recorder import Monitor

_log = logging.getLogger(__name__)

_MOST = 20


@dataclass
class Teller:
    """Tells things worth a sentence: in the worker's log, the journal and on the terminal.

    Attributes:
        journal: worker 0's journal.
        monitor: worker 0's line to the driver.
    """

    journal: JournalWriter | None = None
    monitor: Monitor | None = None
    _told: list[str] = field(default_factory=list)

    def __call__(self, remark: str, step: int | None = None) -> None:
        """Tell a remark, about the state after update ``step``."""
        remark = mask(remark)
        _log.warning("%s", remark)
        if self.journal is not None:
            self.journal.event(remark, step)
        if self.monitor is not None:
            # All of the newest: the line to the driver carries only the last of several messages.
            self._told = [*self._told, remark][-_MOST:]
            self.monitor.show({"remarks": self._told})
