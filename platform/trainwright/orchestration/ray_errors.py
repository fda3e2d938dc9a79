"""Ray's errors as failures of workers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainwright.orchestration.failures import MEMORY_ADVICE, Cause, Failure, WorkerError

_NODE_SIGNS = ("node has died", "node was terminated", "node is dead", "node it was running on")
_MEMORY_SIGN = "running low on memory"
_ROOM_ERROR = "WorkerGroupStartupTimeoutError"


def failures_of(error: BaseException) -> list[Failure]:
    """What an error of ``fit`` says of each worker; of the group, where it names none."""
    workers: Mapping[int, BaseException] = getattr(error, "worker_failures", {})
    if workers:
        return [_failure_of(rank, failure) for rank, failure in workers.items()]
    preemption: Any = getattr(error, "preemption_info", None)
    if preemption is not None:
        ranks = sorted(preemption.preempted_ranks) or [None]
        return [Failure(r, "PreemptionError", "its node was taken away", "", "node") for r in ranks]
    inner: BaseException = getattr(error, "controller_failure", error)
    cause: Cause = "room" if type(inner).__name__ == _ROOM_ERROR else "start"
    return [Failure(None, type(inner).__name__, _first_line(str(inner)), str(inner), cause)]


def _failure_of(rank: int, error: BaseException) -> Failure:
    inner: BaseException = getattr(error, "cause", None) or error
    for candidate in (error, inner):
        if isinstance(candidate, WorkerError):
            return candidate.failure
    inner = getattr(inner, "health_check_failure", inner)
    kind, text = type(inner).__name__, str(inner)
    if getattr(inner, "preempted", False):
        return Failure(rank, kind, "its node was taken away", text, "node")
    if kind == "NodeDiedError" or any(sign in text.lower() for sign in _NODE_SIGNS):
        return Failure(rank, kind, "its node died", text, "node")
    if kind == "ActorUnavailableError":
        return Failure(rank, kind, "it could not be reached any more", text, "connection")
    return Failure(rank, kind, end_of_process(text), text, "process")


def end_of_process(text: str) -> str:
    """How a process ended, as far as Ray knows; of signals it knows SIGTERM alone."""
    if _MEMORY_SIGN in text:
        return f"Ray ended it, for memory ran low on its node{_figures(text)}. {MEMORY_ADVICE}"
    if "receives a SIGTERM" in text:
        return "ended by SIGTERM"
    if status := re.search(r"exits with an exit code (\d+)", text):
        return f"its process exited with status {status[1]}"
    if "connection error code" in text:
        return KILLED
    return _first_line(text)


KILLED = "killed by signal 9 (SIGKILL)"
"""What is told of a process that is gone without a word to Ray: it has crashed, called
``os._exit`` or was killed, and only the last one leaves nothing in its log either."""


def _figures(text: str) -> str:
    node = re.search(r"was ([\d.]+GB used / [\d.]+GB limit)", text)
    own = re.search(r"actual memory used=([\d.]+GB)", text)
    parts = [node and node[1], own and f"{own[1]} by this worker"]
    return "".join(f", {part}" for part in parts if part)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
