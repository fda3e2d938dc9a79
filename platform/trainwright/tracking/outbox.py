"""What of the journal still has to be sent, in which batches, after any number of rewinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from trainwright.storage import Folder
from trainwright.tracking.covered import Ranges
from trainwright.tracking.files import JournalFile, Line, journal_files, read_lines
from trainwright.tracking.lineage import Lineage, newest_lineage
from trainwright.tracking.survey import Rewind, Survey


@dataclass(frozen=True)
class Point:
    """One value of one metric; ``time`` in milliseconds since 1970, fixed when it was recorded."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class Batch:
    """Points to send together, and what is done with once the server has confirmed them."""

    points: list[Point] = field(default_factory=list)
    covers: dict[str, Ranges] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)


class Outbox:
    """Walks the journal files and remembers, as byte ranges, what the server holds.

    Only rows of the surviving lineage are sent. Rows of a dead branch that were sent before the
    rewind cannot be taken back; where the new branch repeats the same value for the same key
    and step, it is on the server already and is not sent again.

    Args:
        folder: the run folder.
        covered: file name -> byte ranges that the server holds; grows with each commit.
    """

    def __init__(self, folder: Folder, covered: dict[str, Ranges]) -> None:
        self.covered = covered
        self._folder = folder
        self._files: list[JournalFile] = []
        self._lineage: Lineage | None = None
        self._survey: Survey | None = None
        self._positions: dict[str, int] = {}
        self._finished: set[str] = set()
        self._server_points: list[Point] = []

    @property
    def attempt(self) -> int:
        """The newest attempt; 0 while the journal is empty."""
        return self._lineage.attempt if self._lineage else 0

    @property
    def rewinds(self) -> list[Rewind]:
        """The attempts that took steps back, oldest first."""
        return self._survey.rewinds if self._survey else []

    @property
    def num_damaged(self) -> int:
        """Unreadable lines met in earlier attempts."""
        return self._survey.num_damaged if self._survey else 0

    def refresh(self) -> bool:
        """Look for new files; True when a new attempt has changed what counts."""
        self._files = journal_files(self._folder)
        if not self._files or self._files[-1].attempt == self.attempt:
            return False
        lineage = newest_lineage(self._folder)
        if lineage is None or lineage == self._lineage:
            return False
        # Before anything is remembered: a store that fails in here must be asked again.
        survey = Survey(self._folder, self._files, lineage, self.covered)
        self._lineage, self._survey = lineage, survey
        self._positions.clear()
        self._finished.clear()
        self.hold(self._server_points)
        return True

    def hold(self, points: list[Point]) -> None:
        """The server says that it has these values; equal ones will not be sent."""
        self._server_points = points
        if self._survey is not None:
            for point in points:
                self._survey.held.add(point.key, point.step, point.value)

    def next_batch(self, limit: int) -> Batch:
        """The next rows; it ends with the row that reaches ``limit`` points.

        Every batch is to be committed, one without points right away.
        """
        batch = Batch()
        for file in self._open_files():
            for line, points, done in self._pending(file):
                batch.positions[file.name] = line.stop
                batch.points.extend(points)
                if done:
                    batch.covers.setdefault(file.name, Ranges()).add(line.start, line.stop)
                if len(batch.points) >= limit:
                    return batch
            if file != self._files[-1]:
                batch.finished.add(file.name)
        return batch

    def commit(self, batch: Batch) -> None:
        """The server holds the batch: its rows are never sent again."""
        for name, ranges in batch.covers.items():
            for start, stop in ranges.to_lists():
                self.covered.setdefault(name, Ranges()).add(start, stop)
        self._positions.update(batch.positions)
        self._finished |= batch.finished

    def count_left(self) -> int:
        """The number of points that would still be sent."""
        return sum(
            len(points) for file in self._open_files() for _, points, _ in self._pending(file)
        )

    def _open_files(self) -> list[JournalFile]:
        attempts = self._lineage.attempts if self._lineage else ()
        return [f for f in self._files if f.attempt in attempts and f.name not in self._finished]

    def _pending(self, file: JournalFile) -> Iterator[tuple[Line, list[Point], bool]]:
        """Lines not dealt with yet: the line, its points to send, whether it is then covered."""
        covered = self.covered.get(file.name, Ranges())
        position: int | None = covered.stop_at(self._positions.get(file.name, 0))
        while position is not None:
            start, position = position, None
            for line in read_lines(self._folder, file.name, start):
                if line.start in covered:
                    position = covered.stop_at(line.start)
                    break
                points = self._unsent(line)
                yield line, points or [], points is not None

    def _unsent(self, line: Line) -> list[Point] | None:
        """The points of a line that the server lacks; None when none of it counts."""
        row = line.row
        if row is None or row["kind"] != "metrics":
            return []
        assert self._survey is not None
        kept = self._survey.survivors.keep(row)
        if kept is None or kept["kind"] != "metrics":
            return None
        held = self._survey.held
        return [
            Point(key, value, row["time"], row["step"])
            for key, value in kept["values"].items()
            if not held.has(key, row["step"], value)
        ]
