"""Which processes of a pod are told that it ends, and for which it waits: stand-ins, here."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from driving import wait_until

from trainwright.submission.inside import leave
from trainwright.submission.parcel import ENTRY_MODULE, SUBMISSION

STAND_IN = """
import pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])

def note(*_):
    with place.with_suffix(".told").open("a") as file:
        file.write("x")

signal.signal(signal.SIGTERM, note)
place.with_suffix(".up").touch()
while not place.with_suffix(".end").exists():
    time.sleep(0.01)
"""


class Pod:
    """Processes that do nothing but note that they were told to end."""

    def __init__(self, folder: Path, submission: str) -> None:
        self.folder = folder
        self.submission = submission
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        place = folder / "stand_in"
        for part in ENTRY_MODULE.split("."):
            place /= part
            place.mkdir(parents=True)
            (place / "__init__.py").touch()
        (place / "__main__.py").write_text(STAND_IN)

    def driver(self, name: str, submission: str) -> None:
        """As Ray's supervisor starts it, of a module that stands in for ours."""
        command = ["python", "-m", ENTRY_MODULE, str(self.folder / name)]
        self._start(name, command, sys.executable, {SUBMISSION: submission})

    def actor(self, name: str, title: str, raylet: str, seconds: int = 60) -> None:
        """A process of Ray's with a title."""
        command = [title, "-c", STAND_IN, str(self.folder / name)]
        environment = {
            SUBMISSION: self.submission,
            "RAY_RAYLET_PID": str(self.processes[raylet].pid),
            "RAY_JOB_STOP_WAIT_TIME_S": str(seconds),
        }
        self._start(name, command, sys.executable, environment)

    def raylet(self, name: str, *options: str) -> None:
        command = ["raylet", "-c", STAND_IN, str(self.folder / name), *options]
        self._start(name, command, sys.executable, {})

    def _start(
        self, name: str, command: list[str], program: str, environment: dict[str, str]
    ) -> None:
        self.processes[name] = subprocess.Popen(
            command,
            executable=program,
            cwd=self.folder / "stand_in",
            env={**os.environ, **environment},
        )
        wait_until((self.folder / f"{name}.up").exists, what=name)

    def was_told(self, name: str) -> int:
        """How often."""
        told = self.folder / f"{name}.told"
        return len(told.read_text()) if told.exists() else 0

    def end(self, *names: str) -> None:
        for name in names or self.processes:
            (self.folder / f"{name}.end").touch()
            self.processes[name].wait(60)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    submission = f"job-{os.getpid()}"
    monkeypatch.setenv(SUBMISSION, submission)
    made = Pod(tmp_path, submission)
    yield made
    made.end()


def assert_waits_for(pod: Pod, leaving: Callable[[], None], name: str) -> None:
    """The hook tells a process to end, and returns when it has, though nobody has reaped it."""
    thread = threading.Thread(target=leaving)
    thread.start()
    wait_until(lambda: pod.was_told(name) or not thread.is_alive(), what=name)
    assert thread.is_alive()
    (pod.folder / f"{name}.end").touch()
    thread.join(60)
    assert not thread.is_alive()


def test_the_head_tells_the_driver_of_its_submission(pod: Pod) -> None:
    pod.driver("ours", pod.submission)
    pod.driver("another", "another-one")
    assert_waits_for(pod, leave.leave_head, "ours")
    assert (pod.was_told("ours"), pod.was_told("another")) == (1, 0)


def test_a_worker_tells_training_and_waits_for_all_work(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained: list[psutil.Process] = []
    monkeypatch.setattr(leave, "_drain", lambda raylet, seconds: drained.append(raylet))
    pod.raylet("here")
    pod.raylet("head", "--head")
    pod.actor("training", "ray::RayTrainWorker.execute", "here")
    pod.actor("resident", "ray::Resident", "here")
    pod.actor("idle", "ray::IDLE", "here")
    pod.actor("controller", "ray::TrainController", "head")
    resident = threading.Timer(0.7, pod.end, ["resident"])
    resident.start()
    assert_waits_for(pod, leave.leave_worker, "training")
    assert pod.processes["resident"].poll() is not None
    resident.join()
    told = {name: pod.was_told(name) for name in pod.processes}
    assert {name for name, times in told.items() if times} == {"training"}
    assert [process.pid for process in drained] == [pod.processes["here"].pid]


def test_what_does_not_end_is_waited_for_as_long_as_a_stop_may_take(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave, "_drain", lambda raylet, seconds: None)
    pod.raylet("here")
    pod.actor("training", "ray::RayTrainWorker", "here", seconds=1)
    leave.leave_worker()
    assert pod.processes["training"].poll() is None
    assert pod.was_told("training") == 1
