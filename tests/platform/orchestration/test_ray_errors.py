"""What Ray's errors say of workers; the texts are those of Ray 2.60."""

from __future__ import annotations

import pytest

from trainwright.orchestration.failures import MEMORY_ADVICE, Failure, WorkerError
from trainwright.orchestration.ray_errors import KILLED, failures_of

HEAD = "The actor died unexpectedly before finishing this task.\n\tclass_name: A\n\tpid: 1\n"
GONE = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
    "Worker exit detail: Worker "
)


class _GroupError(Exception):
    """Like WorkerGroupError."""

    def __init__(self, worker_failures: dict[int, Exception]) -> None:
        super().__init__()
        self.worker_failures = worker_failures


class _CheckError(Exception):
    """Like WorkerHealthCheckFailedError."""

    def __init__(self, failure: Exception) -> None:
        super().__init__("A worker health check failed.")
        self.health_check_failure = failure


class ActorDiedError(Exception):
    preempted = False


class OutOfMemoryError(Exception):
    pass


class PreemptedError(ActorDiedError):
    preempted = True


@pytest.mark.parametrize(
    ("error", "cause", "message"),
    [
        (
            ActorDiedError(f"{HEAD}{GONE}unexpectedly exits with a connection error code 2."),
            "process",
            KILLED,
        ),
        (
            ActorDiedError(
                f"{HEAD}{GONE}exits unexpectedly. Worker exits with an exit code 1. "
                "The process receives a SIGTERM."
            ),
            "process",
            "ended by SIGTERM",
        ),
        (
            ActorDiedError(f"{HEAD}{GONE}exits unexpectedly. Worker exits with an exit code 3."),
            "process",
            "its process exited with status 3",
        ),
        (
            ActorDiedError(f"{HEAD}The actor died because its node has died. Node Id: ab"),
            "node",
            "its node died",
        ),
        (
            OutOfMemoryError(
                "1 worker(s) were killed due to the node running low on memory. Memory on the node "
                "(IP: 192.0.2.2, ID: 94ef) was 8.59GB used / 23.54GB limit (0.364970)\n"
                "Selected to kill: (Actor(89): job ID=01, pid=21369, actual memory used=1.43GB)"
            ),
            "process",
            "Ray ended it, for memory ran low on its node, 8.59GB used / 23.54GB limit, 1.43GB by "
            f"this worker. {MEMORY_ADVICE}",
        ),
        (PreemptedError(f"{HEAD}{GONE}exits"), "node", "its node was taken away"),
    ],
)
def test_how_a_process_ended(error: Exception, cause: str, message: str) -> None:
    (failure,) = failures_of(_GroupError({1: _CheckError(error)}))
    assert (failure.rank, failure.cause, failure.message) == (1, cause, message)


def test_what_a_worker_said_itself_is_kept() -> None:
    said = Failure(0, "KeyError", "'x'", "trace", "code")
    wrapped = Exception("with a traceback")
    wrapped.cause = WorkerError(said)  # type: ignore[attr-defined]
    assert failures_of(_GroupError({0: WorkerError(said), 1: wrapped})) == [said, said]


def test_a_group_without_room_or_without_a_controller() -> None:
    class WorkerGroupStartupTimeoutError(Exception):
        pass

    controller = Exception("Training failed")
    controller.controller_failure = WorkerGroupStartupTimeoutError("20 s")  # type: ignore[attr-defined]
    (room,) = failures_of(controller)
    (lost,) = failures_of(ActorDiedError("The actor died unexpectedly"))
    assert (room.rank, room.cause) == (None, "room")
    assert (lost.rank, lost.cause, lost.lost) == (None, "start", True)
