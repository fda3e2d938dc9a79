"""Which rows of a journal still count after crashes and rewinds.

An attempt that resumes from a checkpoint discards what earlier attempts did after it. Its header
therefore carries the whole chain ``[[attempt, last_step], ...]`` of its past, and the newest
attempt's chain decides for the whole journal: of each attempt in it, the steps after the
previous entry's ``last_step`` up to and including its own.

One refinement at a seam (the step of the checkpoint itself): a checkpoint may be written before
the evaluation of the same step. What the older attempt recorded at that step counts; a key that
it had not recorded yet is taken from the newer attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from trainwright.storage import Folder
from trainwright.tracking.files import header, journal_files, note_names, read_lines
from trainwright.tracking.rows import AttemptRow, MetricsRow, Row

_SAMPLES = "\0samples"


@dataclass(frozen=True)
class Lineage:
    """The past of one attempt.

    Attributes:
        attempt: the attempt whose view this is.
        bounds: ``(attempt, last_step)`` of each earlier attempt that counts, in order.
    """

    attempt: int
    bounds: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, row: AttemptRow) -> Lineage:
        """The lineage that an attempt's header declares."""
        return cls(row["attempt"], tuple((past, step) for past, step in row["lineage"]))

    @property
    def attempts(self) -> tuple[int, ...]:
        """The attempts that count, oldest first."""
        return (*(past for past, _ in self.bounds), self.attempt)

    @property
    def start(self) -> int:
        """The step of the checkpoint it resumed from; 0 for a start from nothing."""
        return self.bounds[-1][1] if self.bounds else 0

    def place(self, attempt: int, step: int) -> Literal["inside", "seam", "outside"]:
        """Where a row of ``attempt`` at ``step`` lies."""
        low: int | None = None
        for past, high in (*self.bounds, (self.attempt, None)):
            if past == attempt:
                if high is not None and step > high:
                    return "outside"
                if low is None or step > low:
                    return "inside"
                return "seam" if step == low else "outside"
            low = high
        return "outside"


class Survivors:
    """Decides row by row what counts; rows must come attempt by attempt, oldest first."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._seams = {step for _, step in lineage.bounds}
        self._taken: dict[tuple[int, str], int] = {}

    def keep(self, row: Row) -> Row | None:
        """The row as far as it counts: whole, with fewer values, or None.

        Asking again about a row gives the same answer.
        """
        if row["kind"] == "attempt":
            return row if row["attempt"] in self._lineage.attempts else None
        step = row["step"]
        if step is None:
            return row if row["attempt"] in self._lineage.attempts else None
        place = self._lineage.place(row["attempt"], step)
        if place == "outside":
            return None
        if step not in self._seams or row["kind"] == "event":
            return row
        if row["kind"] == "samples":
            return row if self._take(step, _SAMPLES, row["attempt"]) else None
        if row["kind"] == "histogram" or row["kind"] == "figure":
            name = f"\0{row['kind']}:{row['name']}"
            return row if self._take(step, name, row["attempt"]) else None
        return self._keep_values(row)

    def _keep_values(self, row: MetricsRow) -> MetricsRow | None:
        step, attempt = row["step"], row["attempt"]
        values = {
            key: value for key, value in row["values"].items() if self._take(step, key, attempt)
        }
        if len(values) == len(row["values"]):
            return row
        return {**row, "values": values} if values else None

    def _take(self, step: int, key: str, attempt: int) -> bool:
        return self._taken.setdefault((step, key), attempt) == attempt


def newest_lineage(folder: Folder) -> Lineage | None:
    """The lineage of the newest attempt that has a header; None for an empty journal."""
    for attempt in sorted({file.attempt for file in journal_files(folder)}, reverse=True):
        row = header(folder, attempt)
        if row is not None:
            return Lineage.of(row)
    return None


def read_all(folder: Folder) -> Iterator[Row]:
    """Every row of every attempt, dead branches and notes included; damaged lines are left out."""
    names = [file.name for file in journal_files(folder)] + note_names(folder)
    return _rows(folder, names)


def read_lineage(folder: Folder) -> Iterator[Row]:
    """The rows of the surviving lineage, attempt by attempt in the order of writing.

    For each key the steps come in order, as long as its writer wrote them so. A torn last line
    is left out. Files are read as the iteration proceeds.
    """
    lineage = newest_lineage(folder)
    if lineage is None:
        return
    survivors = Survivors(lineage)
    files = [file for file in journal_files(folder) if file.attempt in lineage.attempts]
    for row in _rows(folder, [file.name for file in files]):
        kept = survivors.keep(row)
        if kept is not None:
            yield kept


def next_attempt(folder: Folder) -> int:
    """The number for a new attempt: one above every attempt that has a journal file."""
    return max((file.attempt for file in journal_files(folder)), default=0) + 1


def continue_lineage(folder: Folder, attempt: int, step: int) -> list[list[int]]:
    """The lineage of a new attempt that resumes from the checkpoint of ``attempt`` at ``step``.

    Args:
        folder: the run folder.
        attempt: the attempt that wrote the checkpoint.
        step: the checkpoint's step, the last one whose rows count.
    """
    row = header(folder, attempt)
    past: Sequence[Sequence[int]] = row["lineage"] if row is not None else []
    return [*([int(a), int(s)] for a, s in past if s <= step), [attempt, step]]


def _rows(folder: Folder, names: Iterable[str]) -> Iterator[Row]:
    for name in names:
        for line in read_lines(folder, name):
            if line.row is not None:
                yield line.row
