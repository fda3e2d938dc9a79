"""The exception tree: every error a user can meet, with the command line's exit status for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from trainwright.secrets import mask


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
"""Marks a problem for which no value was given at all (as opposed to ``None``)."""


@dataclass(frozen=True)
class Location:
    """Where a value was written: a file with its 1-based line, or a command-line override.

    A ``line`` of 0 means that the place has no lines (an override, a dictionary built in Python).
    """

    file: str
    line: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", mask(self.file))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake in a user's input; what is secret in its texts is masked.

    Attributes:
        path: dotted path of the value inside the job, for example ``training.epochs``.
        message: what is wrong, one sentence without the final full stop.
        got: the offending value; ``MISSING`` when there is none to show.
        allowed: what would be accepted, in words.
        nearest: the closest allowed spelling, if the value looks like a typing mistake.
        mend: the next step for the user, when it is not obvious from ``allowed``.
        location: where the value stands; filled in by the loader when it is left out.
    """

    path: str
    message: str
    got: Any = MISSING
    allowed: str | None = None
    nearest: str | None = None
    mend: str | None = None
    location: Location | None = None

    def __post_init__(self) -> None:
        for name in ("message", "got", "allowed", "nearest", "mend"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, mask(value))

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        path = mask(self.path).replace("\n", "\\n")
        lines = [f"{where}{path}: {self.message}" if path else f"{where}{self.message}"]
        if self.got is not MISSING:
            lines.append(f"    got:     {_short(self.got)}")
        if self.allowed:
            lines.append(f"    allowed: {self.allowed}")
        if self.nearest:
            lines.append(f"    nearest: {self.nearest}")
        if self.mend:
            lines.append(f"    mend:    {self.mend}")
        return _printable("\n".join(lines))


def _short(value: Any, limit: int = 120) -> str:
    text = mask(repr(value))  # before it is cut, where the rest of a secret would be left
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _printable(text: str) -> str:
    """``text`` with what would steer a terminal, or cannot be encoded, spelled out."""
    if text.isprintable():
        return text
    return "".join(
        sign
        if sign.isprintable() or sign in "\n\t"
        else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


class TrainwrightError(Exception):
    """Root of all errors raised on purpose by Trainwright; what is secret in the text is masked."""

    exit_status: ClassVar[int] = 1

    def __init__(self, *details: Any) -> None:
        super().__init__(*(mask(d) if isinstance(d, str) else d for d in details))


class InputError(TrainwrightError):
    """The user's input cannot be used; carries every problem found, not just the first."""

    exit_status: ClassVar[int] = 2

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(path="", message=problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems: list[Problem] = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[list[Problem]]]:
        return type(self), (self.problems,)


class JobError(InputError):
    """A job file is wrong: a key, a value, or a combination that cannot work."""


class PluginError(InputError):
    """A plugin cannot be found, imported or constructed with the given options."""


class DataError(InputError):
    """A data source cannot be read as declared."""


class CheckpointError(TrainwrightError):
    """A checkpoint is damaged, incomplete, or does not fit the model it is loaded into."""


class StoreError(CheckpointError):
    """A store did not take a checkpoint; the next one may fare better."""


class TrackingError(TrainwrightError):
    """The tracking server cannot be reached or refuses what is sent; never raised in training."""


class RunError(TrainwrightError):
    """A run started and failed; the message holds the cause and the log's place."""


class LeaseLost(RunError):  # noqa: N818 - it is no error of anybody's
    """Another driver has taken a run over, while this one was silent for too long."""


class Interrupted(TrainwrightError):  # noqa: N818 - it is no error of anybody's
    """The user stopped the run; a checkpoint was written and the same command continues it."""

    exit_status: ClassVar[int] = 130
