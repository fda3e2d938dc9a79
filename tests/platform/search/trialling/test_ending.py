"""How Tune's work ends, and what is told of processes that were lost."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import FIFOScheduler

from trainwright.search.trialling.ending import AllAtOnce, GivenUp, Halted, forgiving, reason_of

DIED = """The actor died unexpectedly before finishing this task.
\tclass_name: TrialActor
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR \
Worker exit detail: Worker unexpectedly exits with a connection error code 2. End of file."""

RAISED = """ray::TrialActor.train() (pid=1)
  File "actor.py", line 3, in step
RuntimeError: the trial before did not end within 60 s"""


def trial(folder: Path, *failures: str) -> Any:
    file = folder / "error.txt"
    for number, failure in enumerate(failures, 1):
        with file.open("a") as text:
            text.write(f"Failure # {number} (occurred at 2026-11-30_12-00-00)\n{failure}\n")
    return SimpleNamespace(error_file=str(file) if failures else None)


def test_the_newest_reason_counts(tmp_path: Path) -> None:
    killed = "its process was lost: killed by signal 9 (SIGKILL)"
    assert reason_of(trial(tmp_path, RAISED, DIED)) == killed
    told = "RuntimeError: the trial before did not end within 60 s"
    assert reason_of(trial(tmp_path, RAISED)) == told
    assert reason_of(trial(tmp_path)) == "its process was lost"


@pytest.mark.parametrize(
    ("stopping", "running", "ends"),
    [(False, False, False), (False, True, False), (True, True, False), (True, False, True)],
)
def test_it_ends_when_nothing_runs_and_nothing_shall(
    stopping: bool, running: bool, ends: bool
) -> None:
    book: Any = SimpleNamespace(stopping=stopping, is_running=running, halted=False)
    stopper = AllAtOnce(book, cluster_stays=False)
    assert stopper.stop_all() == ends
    assert not stopper("trial", {})


@pytest.mark.parametrize(("stays", "raised"), [(False, Halted), (True, GivenUp)])
def test_halted(stays: bool, raised: type[BaseException]) -> None:
    book: Any = SimpleNamespace(stopping=True, is_running=True, halted=True)
    with pytest.raises(raised):
        AllAtOnce(book, stays).stop_all()


def test_tune_can_write_it_down() -> None:
    book: Any = SimpleNamespace(thread=(_ for _ in ()))
    pickle.dumps(AllAtOnce(book, cluster_stays=False))


def test_an_actor_that_is_lost_while_it_is_handed_over() -> None:
    """Tune would wait for it for ever."""
    scheduler = forgiving(FIFOScheduler())
    lost: Any = object()
    controller: Any = SimpleNamespace(_resetting_trials={lost})
    scheduler.on_trial_error(controller, lost)
    assert controller._resetting_trials == set()
    scheduler.on_trial_error(controller, lost)
