"""Which failure is the cause, and whether trying again can help."""

from __future__ import annotations

import pickle
import resource
import subprocess
import sys

import pytest
import torch

from trainwright.orchestration.failures import Failure, WorkerError, describe, root_cause


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_a_broken_connection_is_a_lost_worker_and_a_bug_is_not() -> None:
    lost = describe(_raised(RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1")), 1)
    bug = describe(_raised(ZeroDivisionError("division by zero")), 0)
    assert (lost.cause, lost.lost, bug.cause, bug.lost) == ("connection", True, "code", False)
    assert "ZeroDivisionError: division by zero" in bug.trace
    assert "test_failures.py" in bug.trace


def test_the_cause_is_what_the_others_follow_from() -> None:
    broken = Failure(0, "RuntimeError", "Connection closed by peer", "", "connection")
    killed = Failure(1, "ActorDiedError", "killed", "", "process")
    node = Failure(2, "NodeDiedError", "its node died", "", "node")
    bug = Failure(3, "KeyError", "'teacher'", "", "code")
    assert root_cause([broken, killed, node, bug]) is bug
    assert root_cause([broken, killed, node]) is node
    assert root_cause([broken, killed]) is killed
    assert root_cause([broken]) is broken
    assert root_cause([]) is None


def test_a_worker_error_travels_whatever_its_cause() -> None:
    error = WorkerError(describe(_raised(ValueError("no")), 3))
    copy = pickle.loads(pickle.dumps(error))
    assert copy.failure == error.failure
    assert str(copy) == "worker 3: ValueError: no"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=["python", "torch", "cuda"],
)
def test_memory_that_is_used_up_is_told_with_what_to_change(error: Exception) -> None:
    failure = describe(_raised(error), 2)
    assert failure.cause == "code"
    assert failure.message.startswith("out of memory: ")
    assert "training.micro_batch_size" in failure.message
    assert (str(error) or "an allocation failed") in failure.message


def test_torch_says_so_itself_where_memory_is_limited() -> None:
    """The message above is torch's own, in a process that may not have more."""
    code = (
        "import torch\n"
        "from trainwright.orchestration.failures import describe\n"
        "try:\n    torch.zeros(1 << 36)\n"
        "except RuntimeError as error:\n    print(describe(error, 0).message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 36, 1 << 36)),
    )
    assert done.stdout.startswith("out of memory: ")
