"""Which failure is the cause, and whether trying again can help."""

from __future__ import annotations

import pickle

from trainwright.orchestration.failures import Failure, WorkerError, describe, root_cause


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_a_broken_connection_is_a_lost_worker_and_a_bug_is_not() -> None:
    lost = describe(_raised(RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1")), 1)
    bug = describe(_raised(ZeroDivisionError("division by zero")), 0)
    assert (lost.lost, bug.lost) == (True, False)
    assert "ZeroDivisionError: division by zero" in bug.trace
    assert "test_failures.py" in bug.trace


def test_the_cause_is_what_raised_before_connections_broke() -> None:
    lost = Failure(0, "RuntimeError", "Connection closed by peer", "", lost=True)
    bug = Failure(1, "KeyError", "'teacher'", "", lost=False)
    assert root_cause([lost, bug]) is bug
    assert root_cause([lost]) is lost
    assert root_cause([]) is None


def test_a_worker_error_travels_whatever_its_cause() -> None:
    error = WorkerError(describe(_raised(ValueError("no")), 3))
    copy = pickle.loads(pickle.dumps(error))
    assert copy.failure == error.failure
    assert str(copy) == "worker 3: ValueError: no"
