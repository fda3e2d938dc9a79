"""How far a run is, and how long it will take, from its record."""

from __future__ import annotations

from trainwright.runs import RunRecord
from trainwright.submission.progress import Progress

_SETTLING = 3
"""Before this many steps of an attempt their pace is no guide to the time left."""


class Pace:
    """Follows the record of a run through one attempt.

    What the record says at first may be the work of an earlier attempt, and steps that are taken
    back are done once more: the pace is that of the steps since then.
    """

    def __init__(self) -> None:
        self._inherited: int | None = None
        self._first: tuple[int, float] | None = None
        self._newest = 0

    def progress(self, record: RunRecord) -> Progress:
        """How far it is, with an estimate of the time left as of when the record was written."""
        if self._inherited is None:
            self._inherited = self._newest = record.steps
        moved = record.steps != self._newest
        if moved and (self._first is None or record.steps < self._newest):
            self._first = record.steps, record.alive
        self._newest = record.steps
        left = self._seconds_left(record) if record.status == "running" else None
        return Progress(record.steps, record.total_steps, record.unit, left)

    def _seconds_left(self, record: RunRecord) -> float | None:
        if self._first is None:
            return None
        step, moment = self._first
        if record.steps - step < _SETTLING:
            return None
        pace = (record.alive - moment) / (record.steps - step)
        return max(0.0, (record.total_steps - record.steps) * pace)
