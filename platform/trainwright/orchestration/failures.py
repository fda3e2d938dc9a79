"""What went wrong on which worker, and whether trying again can help."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainwright.secrets import mask

Cause = Literal["code", "start", "process", "node", "connection", "room"]
"""``code`` raised; a group did not ``start``; a ``process`` or its ``node`` ended; the
``connection`` to another broke; there was no ``room`` in the cluster. The earlier one explains the
later ones that come with it."""

_ORDER: Sequence[Cause] = ("code", "node", "process", "start", "connection", "room")


@dataclass(frozen=True)
class Failure:
    """One worker's end.

    Attributes:
        rank: the worker; None for what befell the group.
        kind: the exception's type.
        message: its text.
        trace: its traceback, as text.
        cause: what ended.
    """

    rank: int | None
    kind: str
    message: str
    trace: str
    cause: Cause

    @property
    def lost(self) -> bool:
        """Whether the worker or its connection died, rather than its code raising."""
        return self.cause != "code"


class WorkerError(Exception):
    """A worker's exception as plain text, so that it travels whatever its type."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return f"worker {self.failure.rank}: {self.failure.kind}: {self.failure.message}"


_CONNECTION_SIGNS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Connection refused",
    "Socket Timeout",
    "NCCL error",
    "NCCL communicator was aborted",
    "Timed out waiting",
    "connection was closed",
)

_MEMORY_SIGNS = ("can't allocate memory", "out of memory")

MEMORY_ADVICE = (
    "Give a worker less at a time (training.micro_batch_size, training.evaluation_batch_size), "
    "split the model's state (a higher deepspeed.zero_optimization.stage), or halve it "
    "(training.precision: bf16)"
)


def describe(error: BaseException, rank: int) -> Failure:
    """``error`` as a failure of worker ``rank``."""
    message = mask(str(error))
    broken = isinstance(error, RuntimeError) and any(sign in message for sign in _CONNECTION_SIGNS)
    trace = mask("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    if not broken and _is_out_of_memory(error):
        message = f"out of memory: {message or 'an allocation failed'}\n{MEMORY_ADVICE}"
    return Failure(rank, type(error).__name__, message, trace, "connection" if broken else "code")


def _is_out_of_memory(error: BaseException) -> bool:
    """Python's own, torch's on a CPU (a plain RuntimeError), and torch's on a GPU."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _MEMORY_SIGNS)


def root_cause(failures: Sequence[Failure]) -> Failure | None:
    """The failure that the others follow from: code that raised before connections that broke."""
    return min(failures, key=lambda failure: _ORDER.index(failure.cause), default=None)
