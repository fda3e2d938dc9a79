"""A run that trains, is killed and continued at random, and what must survive of its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from trainwright.storage import Folder
from trainwright.tracking import continue_lineage, next_attempt
from trainwright.tracking.files import attempt_name
from trainwright.tracking.rows import AttemptRow, MetricsRow, Row, SamplesRow, encode


@dataclass(frozen=True)
class Entry:
    attempt: int
    step: int
    key: str
    value: float
    time: int


@dataclass
class World:
    """A run as it happens, written to a real journal, with the model beside it."""

    folder: Folder
    attempt: int = 0
    step: int = 0
    salt: int = 0
    clock: int = 1_000
    checkpoints: list[tuple[int, int]] = field(default_factory=list)
    histories: dict[int, list[Entry]] = field(default_factory=dict)
    written: set[tuple[str, int, int, float]] = field(default_factory=set)
    taken_back: bool = False

    def resume(self, choice: int, salt: int) -> None:
        """A new attempt, from one of the checkpoints or from nothing."""
        previous = self.step
        candidates = [None, *self.checkpoints]
        source = candidates[choice % len(candidates)]
        self.attempt = next_attempt(self.folder)
        self.salt = salt
        self.step = source[1] if source else 0
        lineage = continue_lineage(self.folder, *source) if source else []
        past = self.histories[source[0]] if source else []
        self.histories[self.attempt] = [entry for entry in past if entry.step <= self.step]
        self.taken_back |= self.step < previous
        self._append(
            AttemptRow(
                kind="attempt",
                attempt=self.attempt,
                time=self.clock,
                lineage=lineage,
                world_size=1,
            )
        )

    def train(self, num_steps: int) -> None:
        for _ in range(num_steps):
            self.step += 1
            self.record({"train/loss": 1000.0 + self.step, "train/odd": self.step + self.salt})
            samples = SamplesRow(
                kind="samples", attempt=self.attempt, step=self.step, ids=[self.step]
            )
            self._append(samples)

    def evaluate(self) -> None:
        key = "validation/loss"
        if any(e.attempt == self.attempt for e in self._own(key)):
            return
        self.record({key: self.step / 2 + self.salt})

    def checkpoint(self) -> None:
        self.checkpoints.append((self.attempt, self.step))

    def record(self, values: dict[str, float]) -> None:
        self.clock += 1
        row = MetricsRow(
            kind="metrics", attempt=self.attempt, time=self.clock, step=self.step, values=values
        )
        self._append(row)
        history = self.histories[self.attempt]
        for key, value in values.items():
            self.written.add((key, self.clock, self.step, value))
            if not any(entry.attempt != self.attempt for entry in self._own(key)):
                history.append(Entry(self.attempt, self.step, key, value, self.clock))

    def _own(self, key: str) -> list[Entry]:
        """What this attempt's history has for a key at the current step."""
        history = self.histories[self.attempt]
        return [entry for entry in history if entry.step == self.step and entry.key == key]

    def _append(self, row: Row) -> None:
        path = Path(self.folder.join(attempt_name(self.attempt)))
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(encode(row))
