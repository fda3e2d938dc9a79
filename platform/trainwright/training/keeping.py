"""Checkpoints that training outlives: one that cannot be written is told, not fatal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trainwright.collectives import from_everyone, from_rank_zero
from trainwright.errors import CheckpointError, StoreError
from trainwright.training.saving import Saver
from trainwright.training.telling import Teller

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Waits before the last checkpoint of a run is tried once more: two minutes in all."""


@dataclass
class Keeper:
    """Takes checkpoints, and sees to what becomes of them; all workers make the same calls.

    A checkpoint is written while training goes on. When a worker's store does not take it, all
    workers learn of it, the user is told, what is there of it is removed, and the next one that
    is due is tried. Only the last one must be written.

    Attributes:
        saver: takes them.
        newest: name of the newest one that is whole; None before the first.
        tell: tells the user.
        limit: failures in a row before training ends; None: it goes on.
        sleep: how to wait, in seconds.
        warnings: what the user should know at the end.
        failures: checkpoints that could not be written.
    """

    saver: Saver
    newest: str | None
    tell: Teller
    limit: int | None = None
    sleep: Callable[[float], None] = time.sleep
    warnings: list[str] = field(default_factory=list)
    _in_flight: bool = False
    failures: int = 0
    _in_a_row: int = 0
    _cause: str = ""

    def __call__(self, improved: bool) -> None:
        """Take a checkpoint of this moment; ``improved``: it is the best so far (a collective).

        Raises:
            CheckpointError: something cannot be stored, or the one before was one failure too many.
        """
        self.settle()
        # Rows up to a checkpoint must outlive it: a resumed run does not write them again.
        if self.tell.journal is not None and self.tell.journal.error is None:
            self.tell.journal.flush(timeout_s=2.0)
        self.saver(improved)
        self._in_flight = True

    @property
    def has_failed(self) -> bool:
        """Whether the checkpoint under way is known to have failed on this worker."""
        return self._in_flight and self.saver.writer.failed

    def settle(self) -> None:
        """Wait for the checkpoint under way, and agree on what became of it (a collective).

        Raises:
            CheckpointError: it failed for a reason that will not go away, or too often.
        """
        if not self._in_flight:
            return
        self._in_flight = False
        writer = self.saver.writer
        shares = from_everyone(_told(writer.share()))
        end = writer.end(give_up=any(shares))
        failures = shares if any(shares) else [from_rank_zero(_told(end))]
        if not any(failures):
            self._succeeded()
            return
        cause = _joined(failures)
        if not all(failure.passing for failure in failures if failure):
            raise CheckpointError(f"checkpoint {writer.name} could not be written: {cause}")
        self._failed(cause)

    def finish(self) -> None:
        """Make sure of the last checkpoint, trying for two minutes (a collective).

        Raises:
            CheckpointError: it could not be written.
        """
        self.limit = None
        self.settle()
        for pause in PAUSES_S:
            if self._in_a_row == 0:
                break
            self._say(f"the last checkpoint is tried again in {pause:g} s")
            self.sleep(pause)
            self.saver.writer.retry()
            self._in_flight = True
            self.settle()
        if self._in_a_row:
            raise CheckpointError(
                f"the last checkpoint could not be written to {self.saver.writer.url}: "
                f"{self._cause}. {self._kept}. Make room there or mend the store; the same command "
                "then goes on from that one"
            )
        if self.failures:
            count = "one checkpoint" if self.failures == 1 else f"{self.failures} checkpoints"
            self.warnings.append(f"{count} could not be written on the way: {self._cause}")

    @property
    def _kept(self) -> str:
        return f"The newest good one is {self.newest}" if self.newest else "There is no good one"

    def _succeeded(self) -> None:
        writer = self.saver.writer
        self._in_a_row, self.newest = 0, writer.name
        if writer.kept_too_many is not None:
            text = f"old checkpoints could not be removed: {writer.kept_too_many}"
            if text not in self.warnings:
                self.warnings.append(text)
                self._say(text)

    def _failed(self, cause: str) -> None:
        self.failures += 1
        self._in_a_row += 1
        self._cause = cause
        self.saver.withdraw()
        text = f"checkpoint {self.saver.writer.name} could not be written: {cause}. {self._kept}"
        if self.limit is not None and self._in_a_row > self.limit:
            raise CheckpointError(f"{text}; training.max_failed_checkpoints is {self.limit}")
        self._say(text)

    def _say(self, text: str) -> None:
        self.tell(text, self.saver.holdings.progress.finished)


@dataclass(frozen=True)
class _Failure:
    """Why a worker's part of a checkpoint failed, and whether the next one may fare better."""

    cause: str
    passing: bool


def _told(failure: CheckpointError | None) -> _Failure | None:
    return None if failure is None else _Failure(str(failure), isinstance(failure, StoreError))


def _joined(failures: Sequence[_Failure | None]) -> str:
    """The causes by rank; the workers that share one are named together."""
    ranks: dict[str, list[str]] = {}
    for rank, failure in enumerate(failures):
        if failure is not None:
            ranks.setdefault(failure.cause, []).append(str(rank))
    named = ((f"worker{'s' * (len(by) > 1)} {', '.join(by)}", c) for c, by in ranks.items())
    return "; ".join(f"{workers}: {cause}" for workers, cause in named)
