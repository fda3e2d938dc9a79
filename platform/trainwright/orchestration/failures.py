"""What went wrong on which worker, and whether trying again can help."""

from __future__ import annotations

import traceback
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """One worker's end.

    Attributes:
        rank: the worker.
        kind: the exception's type.
        message: its text.
        trace: its traceback, as text.
        lost: whether the worker or its connection died, rather than its code raising.
    """

    rank: int
    kind: str
    message: str
    trace: str
    lost: bool


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


def describe(error: BaseException, rank: int) -> Failure:
    """``error`` as a failure of worker ``rank``."""
    message = str(error)
    lost = isinstance(error, RuntimeError) and any(sign in message for sign in _CONNECTION_SIGNS)
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Failure(rank, type(error).__name__, message, trace, lost)


def root_cause(failures: list[Failure]) -> Failure | None:
    """The failure that others follow from: code that raised before connections that broke."""
    raised = [failure for failure in failures if not failure.lost]
    return next(iter(raised or failures), None)
