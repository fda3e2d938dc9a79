"""Whole runs for the system tests: job files, processes that run them, and what a run left."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

KILLED = -signal.SIGKILL
PATIENCE_S = 240.0
"""For a process that is expected to end; generous, because the machine may be loaded."""

_IMPORTED_ONCE = [
    "trainwright.orchestration.launch",
    "trainwright.tracking.lineage",
    "trainwright_objectives.z_loss",
    "trainwright_strategies.early_stopping",
    "trainwright_strategies.ghost_batch_norm",
    "trainwright_strategies.multi_sample_dropout",
    "matplotlib.pyplot",
    "pyarrow.parquet",
    "s3fs",
    "sklearn.datasets",
    "sklearn.model_selection",
    "torchmetrics",
]

STARTED: list[Any] = []
"""Drivers and commands of the running test; those still alive at its end are killed."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(_IMPORTED_ONCE)


def write_job(folder: Path, values: Mapping[str, Any], file: str = "job.yaml") -> Path:
    """Write a job file; keys with dots are sections (``{"training.epochs": 2}``)."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, key = path.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(yaml.safe_dump(tree, sort_keys=False))
    return folder / file


@dataclass
class Driver:
    """A driver process with everything imported beforehand, so that it starts in no time."""

    process: Any

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit status, negative for a signal."""
        self.process.join(timeout_s)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join(10)
            raise TimeoutError(f"the driver did not end within {timeout_s} s")
        return int(self.process.exitcode)

    def kill(self) -> None:
        """SIGKILL; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process if it still runs."""
        self.process.kill()
        self.process.join(10)


def start(
    job: Path,
    overrides: Sequence[str] = (),
    *,
    before: Callable[..., None] | None = None,
    arguments: Sequence[Any] = (),
    **options: Any,
) -> Driver:
    """Run a job in a process of its own.

    Args:
        job: the job file.
        overrides: ``a.b=value`` each.
        before: called in the process with ``arguments`` before the run.
        options: for the ``Request``.
    """
    return call(
        _drive, str(job), list(overrides), before, list(arguments), options, dict(os.environ)
    )


def call(function: Callable[..., None], *arguments: Any) -> Driver:
    """Call a function in a process in which everything is imported, with an environment of its own.

    Args:
        function: of a module; what it raises, ``SystemExit`` say, ends the process.
        arguments: for it.
    """
    process = _processes.Process(target=function, args=arguments)
    process.start()
    driver = Driver(process)
    STARTED.append(driver)
    return driver


def drive(job: Path, *overrides: str, **options: Any) -> int:
    """``start`` and ``wait``: 0 done, 1 failed, 2 refused, 130 interrupted, negative: killed."""
    return start(job, overrides, **options).wait()


def _drive(
    job: str,
    overrides: list[str],
    before: Callable[..., None] | None,
    arguments: list[Any],
    options: dict[str, Any],
    environment: dict[str, str],
) -> None:
    from trainwright.errors import InputError, Interrupted
    from trainwright.job import Job
    from trainwright.job.kinds import kind_of
    from trainwright.orchestration.request import Request

    os.environ.update(environment)  # the server that forks has kept that of its own start
    os.chdir(Path(job).parent)
    if before is not None:
        before(*arguments)
    try:
        loaded = Job.load(job, overrides)
        kind_of(loaded).run(loaded, Request(**options))
    except BaseException as error:
        traceback.print_exc()
        code = 2 if isinstance(error, InputError) else 130 if isinstance(error, Interrupted) else 1
        sys.stderr.flush()
        raise SystemExit(code) from None


class Command:
    """The command line in a process of its own, as a user starts it.

    Args:
        arguments: of ``trainwright``.
        folder: working directory.
        environment: further variables.
    """

    def __init__(
        self, *arguments: str | Path, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._output = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115
        self.process = psutil.Popen(
            [Path(sys.executable).parent / "trainwright", *arguments],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,
        )
        STARTED.append(self)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit status, negative for a signal."""
        try:
            return int(self.process.wait(timeout_s))
        except psutil.TimeoutExpired:
            self.end()
            raise TimeoutError(f"no end within {timeout_s} s:\n{self.errors}") from None

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something that the process brings about.

        Raises:
            AssertionError: the process ended instead.
        """

        def happened() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, f"ended before {what}:\n{self.errors}"
            return False

        wait_until(happened, what=what)

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def family(self) -> list[psutil.Process]:
        """The process and all that it started, directly or not."""
        return [self.process, *self.process.children(recursive=True)]

    def end(self) -> None:
        """Kill the process and all that it started."""
        if self.process.poll() is None:
            end_all(self.family())

    @property
    def output(self) -> str:
        """Standard output so far."""
        self._output.seek(0)
        return self._output.read()

    @property
    def errors(self) -> str:
        """Standard error so far."""
        self._errors.seek(0)
        return self._errors.read()


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a number that was given to another process does not count."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_all(processes: Iterable[psutil.Process]) -> None:
    """Kill processes that a test started."""
    for process in living(processes):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def wait_until(condition: Callable[[], Any], timeout_s: float = PATIENCE_S, what: str = "") -> Any:
    """Poll until ``condition`` gives something true, and return that."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise TimeoutError(f"waited {timeout_s} s for {what or condition}")
