"""A look over the earlier attempts when a new one begins: what is dead, and what the server has."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainwright.storage import Folder
from trainwright.tracking.covered import Ranges
from trainwright.tracking.files import JournalFile, Line, header, read_lines
from trainwright.tracking.lineage import Lineage, Survivors
from trainwright.tracking.rows import MetricsRow

LARGEST = 1.7976931348623157e308
"""What the SQL store of MLflow keeps in place of infinity."""


@dataclass(frozen=True)
class Rewind:
    """An attempt that began at ``from_step``, before the last row that its predecessor recorded."""

    attempt: int
    from_step: int
    time: int


class Held:
    """Values of dead branches that the server has; an equal value need not be sent again."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int], set[float | str]] = {}

    def add(self, key: str, step: int, value: float) -> None:
        """The server has ``value`` for this key and step."""
        self._values.setdefault((key, step), set()).add(_canonical(value))

    def has(self, key: str, step: int, value: float) -> bool:
        """Whether the server has an equal value (nan equals nan)."""
        return _canonical(value) in self._values.get((key, step), ())


class Survey:
    """Reads all attempts before the newest one, once.

    Args:
        folder: the run folder.
        files: its journal files in order.
        newest: the lineage that decides what counts.
        covered: file name -> byte ranges that the server holds.

    Attributes:
        survivors: decides about further rows, knowing the older side of every seam.
        held: values that dead branches left on the server.
        rewinds: the attempts that took steps back, oldest first.
        num_damaged: lines that could not be read.
    """

    def __init__(
        self,
        folder: Folder,
        files: list[JournalFile],
        newest: Lineage,
        covered: dict[str, Ranges],
    ) -> None:
        self.survivors = Survivors(newest)
        self.held = Held()
        self.rewinds: list[Rewind] = []
        self.num_damaged = 0
        headers = {attempt: header(folder, attempt) for attempt in {f.attempt for f in files}}
        known = {attempt: row for attempt, row in headers.items() if row is not None}
        self._lineages = {attempt: Lineage.of(row) for attempt, row in known.items()}
        self._starts = {lineage.start for lineage in self._lineages.values() if lineage.bounds}
        self._at_starts: dict[tuple[str, int], list[int]] = {}
        furthest: tuple[int, int] | None = None  # attempt and step of the predecessor's last row
        reached = -1
        for attempt in sorted(known):
            lineage = self._lineages[attempt]
            begins_at = lineage.start if lineage.bounds else -1
            # At the checkpoint's own step, too, the predecessor may have recorded what is lost.
            is_lost = furthest is not None and lineage.place(*furthest) == "outside"
            if begins_at < reached or (begins_at == reached and is_lost):
                self.rewinds.append(Rewind(attempt, lineage.start, known[attempt]["time"]))
            furthest, reached = None, begins_at
            if attempt < newest.attempt:
                for file in (file for file in files if file.attempt == attempt):
                    ranges = covered.get(file.name, Ranges())
                    for line in read_lines(folder, file.name):
                        step = self._note(line, line.start in ranges)
                        if step >= reached:
                            furthest, reached = (attempt, step), step

    def _note(self, line: Line, covered: bool) -> int:
        """Take in one line; its step is returned (-1 for a line without metrics)."""
        row = line.row
        if row is None:
            self.num_damaged += 1
        if row is None or row["kind"] != "metrics":
            return -1
        dead = self.survivors.keep(row) is None
        if dead and covered:
            for key, value in row["values"].items():
                if not self._lost_at_seam(row, key):
                    self.held.add(key, row["step"], value)
        if row["step"] in self._starts:
            for key in row["values"]:
                self._at_starts.setdefault((key, row["step"]), []).append(row["attempt"])
        return row["step"]

    def _lost_at_seam(self, row: MetricsRow, key: str) -> bool:
        """Whether an older attempt's value stood in for this one, so that it was never sent."""
        lineage = self._lineages[row["attempt"]]
        if not lineage.bounds or row["step"] != lineage.start:
            return False
        older = self._at_starts.get((key, row["step"]), [])
        return any(
            attempt != row["attempt"] and lineage.place(attempt, row["step"]) != "outside"
            for attempt in older
        )


def _canonical(value: float) -> float | str:
    if math.isnan(value):
        return "nan"
    return max(-LARGEST, min(LARGEST, value))
