"""A job of many runs in a log: a line at its start, and one now and then."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from rich.console import Console
from typing_extensions import Self

from trainwright.secrets import mask

SECONDS_BETWEEN_LINES = 5.0


class Counted(Protocol):
    """The newest state of a job of many runs.

    Attributes:
        stopping: whether somebody asked to stop.
    """

    stopping: bool

    def begin(self, started: Any) -> None:
        """The runs are known."""
        ...

    def update(self, progress: Mapping[str, Any]) -> None:
        """Take what is new."""
        ...

    @property
    def num_done(self) -> int:
        """Runs to which nothing more will happen."""
        ...


ProgressT = TypeVar("ProgressT", bound=Counted)


class Lines(ABC, Generic[ProgressT]):
    """A line at the start, and one every few seconds when runs have ended.

    Args:
        console: where they go.
        progress: follows the job.
        stopping: said once when somebody asks to stop.
    """

    def __init__(self, console: Console, progress: ProgressT, stopping: str) -> None:
        self._console = console
        self._progress = progress
        self._stopping = stopping
        self._told = time.monotonic()
        self._told_done = 0
        self._told_stopping = False

    def __enter__(self) -> Self:
        """Nothing is said before the job is good."""
        return self

    def __exit__(self, *error: object) -> None:
        """The command says how it ended."""

    def started(self, started: Any) -> None:
        """One line: what it is, how many runs, where."""
        self._progress.begin(started)
        self._told, self._told_done = time.monotonic(), started.num_kept
        self._say(self._headline(started))

    def show(self, progress: Mapping[str, Any]) -> None:
        """Say how many runs are done, now and then."""
        if "remark" in progress:
            self._say(f"note: {progress['remark']}")
        state = self._progress
        state.update(progress)
        if state.stopping and not self._told_stopping:
            self._told_stopping = True
            self._say(self._stopping)
        due = time.monotonic() - self._told >= SECONDS_BETWEEN_LINES
        if due and state.num_done > self._told_done:
            self._told, self._told_done = time.monotonic(), state.num_done
            self._say(self._line(state))

    def _say(self, text: str) -> None:
        self._console.print(mask(text), soft_wrap=True, markup=False)

    @abstractmethod
    def _headline(self, started: Any) -> str:
        """The first line."""

    @abstractmethod
    def _line(self, state: ProgressT) -> str:
        """How far it is."""
