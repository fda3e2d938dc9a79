"""``python -m trainwright.submission.inside.leave head|worker``: what a pod does before it ends.

Kubernetes calls it as the pods' preStop hook, before it tells their processes anything.

It speaks to processes by signals, not to Ray's Jobs API: that needs no network, token or right, and
works while Ray itself is ending. And it keeps the truth: a job that was stopped over the Jobs API
is STOPPED, which KubeRay takes for complete and never tries again. A driver that was told to end
writes a checkpoint and exits with 130, so that its attempt has failed: where a node was drained,
KubeRay tries again, as often as the profile's ``retries`` says, and the next attempt goes on from
there. A RayJob that is being suspended is not tried again, whatever its driver says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from trainwright.submission.parcel import ENTRY_MODULE, STOP_WAIT, SUBMISSION

_DEFAULT_PATIENCE_S = 120
_DRAINING_S = 15
_IDLE = "ray::IDLE"
_TRAINS = "RayTrainWorker"

Kind = Callable[[psutil.Process], bool]


def leave_head() -> None:
    """Tell the drivers of submissions to stop, and wait until they have."""
    drivers = list(_ours(_is_driver))
    deadline = time.monotonic() + _patience(drivers)
    for driver in drivers:
        _tell(driver)
    _stay_with(drivers, _is_driver, deadline)


def leave_worker() -> None:
    """Have training saved, and stay until nothing works here any more, or there is no time left.

    Nothing new is placed on a node that is drained. Where its raylet or Ray's head does not answer
    any more, training is told by signal all the same.
    """
    working = list(_ours(_works))
    seconds = _patience(working)
    deadline = time.monotonic() + seconds
    for raylet in set(filter(None, map(_raylet_of, working))):
        _drain(raylet, seconds)
    for process in working:
        if _TRAINS in _title(process):
            _tell(process)
    _stay_with(working, _works, deadline)


def _stay_with(processes: list[psutil.Process], kind: Kind, deadline: float) -> None:
    """Until none of them is of that kind any more; one that nobody has reaped is not."""
    while any(map(kind, processes)) and time.monotonic() < deadline:
        time.sleep(0.2)


def _ours(kind: Kind) -> Iterator[psutil.Process]:
    """Processes of submissions in this pod; of a single one where the environment names it."""
    only = os.environ.get(SUBMISSION)
    for process in psutil.process_iter():
        submission = _environment(process).get(SUBMISSION)
        if submission is not None and only in (None, submission) and kind(process):
            yield process


def _is_driver(process: psutil.Process) -> bool:
    return process.is_running() and _arguments(process)[1:3] == ["-m", ENTRY_MODULE]


def _works(process: psutil.Process) -> bool:
    title = _title(process) if process.is_running() else ""
    is_busy = title.startswith("ray::") and not title.startswith(_IDLE)
    return is_busy and _raylet_of(process) is not None


def _raylet_of(process: psutil.Process) -> psutil.Process | None:
    """The raylet of a process of Ray's; None for the head's, which ends with the driver."""
    with contextlib.suppress(psutil.NoSuchProcess, KeyError):
        raylet = psutil.Process(int(_environment(process)["RAY_RAYLET_PID"]))
        return None if "--head" in _arguments(raylet) else raylet
    return None


def _tell(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        process.send_signal(signal.SIGTERM)


def _patience(processes: list[psutil.Process]) -> int:
    """Seconds that the job is given to stop, as its own processes know."""
    told = [_environment(process).get(STOP_WAIT, "") for process in processes]
    return max((int(text) for text in told if text.isdigit()), default=_DEFAULT_PATIENCE_S)


def _drain(raylet: psutil.Process, seconds: int) -> None:
    """Announce to Ray's head that a node of this pod is going away."""
    options = dict(_option(text) for text in _arguments(raylet))
    if not {"--gcs-address", "--node_id"} <= options.keys():  # it has ended meanwhile
        return
    command = [str(Path(sys.executable).with_name("ray")), "drain-node"]
    command += ["--address", options["--gcs-address"], "--node-id", options["--node_id"]]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "its pod ends"]
    command += ["--deadline-remaining-seconds", str(seconds)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, timeout=_DRAINING_S, check=False)  # noqa: S603


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _title(process: psutil.Process) -> str:
    return "".join(_arguments(process)[:1])


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it has ended, or is another user's
        return []


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return dict(process.environ())
    except psutil.Error:
        return {}


def main() -> int:
    """Leave; the exit status."""
    ways = {"head": leave_head, "worker": leave_worker}
    way = ways.get(" ".join(sys.argv[1:]))
    if way is None:
        print(f"usage: python -m trainwright.submission.inside.leave {'|'.join(ways)}")
        return 2
    way()
    return 0


if __name__ == "__main__":
    sys.exit(main())
