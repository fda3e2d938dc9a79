"""Attempts at a job that was sent to a cluster: what a target starts there, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import driving
import psutil

from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.submission.inside.kept_logs import PLACE
from trainwright.submission.parcel import ENTRY_MODULE, JOB, ORDERS, SUBMISSION, Orders

SABOTEUR = Path(__file__).parents[1] / "system" / "plugins" / "saboteur.py"


class Attempt:
    """``python -m trainwright.submission.inside``, as a process.

    Args:
        parcel: the folder that it runs in.
        log: takes what it prints, as the file does in which Ray has a job print.
        environment: all its variables.
        anew: in an interpreter of its own, rather than one that has imported everything.
    """

    def __init__(self, parcel: Path, log: Path, environment: Mapping[str, str], anew: bool) -> None:
        self._log = log
        self._driver: driving.Driver | _Interpreter
        if anew:
            self._driver = _Interpreter(parcel, log, environment)
        else:
            self._driver = driving.call(_run, str(parcel), str(log), environment)

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def process(self) -> psutil.Process:
        """The process."""
        return psutil.Process(self._driver.process.pid)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return self._driver.wait()

    def until(self, text: str) -> None:
        """Wait for something that it prints."""

        def happened() -> bool:
            if text in self.log:
                return True
            assert driving.living([self.process]), f"ended before {text!r}:\n{self.log}"
            return False

        driving.wait_until(happened, what=text)


class _Interpreter:
    """Called as Ray's supervisor calls it."""

    def __init__(self, parcel: Path, log: Path, variables: Mapping[str, str]) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", ENTRY_MODULE],
                cwd=parcel,
                env={**variables, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        driving.STARTED.append(self)

    def wait(self) -> int:
        return self.process.wait(driving.PATIENCE_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _run(parcel: str, log: str, environment: Mapping[str, str]) -> None:
    from trainwright.submission.inside.__main__ import main

    os.environ.update(environment)
    os.chdir(parcel)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    raise SystemExit(main())


class Submitted:
    """A parcel on a cluster, whose job can be held at an update.

    Args:
        folder: of everything but the runs.
        storage: URL of the folder of its runs; default: one in ``folder``.
        environment: further variables of its attempts.
        anew: see ``Attempt``.
        **values: of the job.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        storage: str | None = None,
        anew: bool = False,
        **values: Any,
    ) -> None:
        self._storage = Folder(storage or str(folder / "runs"))
        self.parcel = folder / "parcel"
        self._orders = folder / "orders"
        self._orders.mkdir(parents=True)
        self._folder = folder
        self.environment = {**os.environ, SUBMISSION: "digits-01234567", **(environment or {})}
        self._anew = anew
        self._attempts: list[Attempt] = []
        job = {
            "name": "digits",
            "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
            "model": {"name": "convnet", "width": 2},
            "objective": {"name": "z_loss"},
            "strategies": [{"name": "saboteur.py:Saboteur", "orders": str(self._orders)}],
            "optimizer": {"name": "adamw", "lr": 0.01},
            "training": {"epochs": 4, "checkpoint_every": "5 steps", "record_samples": True},
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
        }
        self.plugins = (self.parcel / JOB).parent
        driving.write_job(self.plugins, {**job, **values}, Path(JOB).name)
        orders = Orders((f"storage={self._storage.url}", "cluster.address=auto"))
        (self.parcel / ORDERS).write_bytes(orders.to_bytes())
        (self.plugins / SABOTEUR.name).write_bytes(SABOTEUR.read_bytes())

    def attempt(self, hold: int | None = None) -> Attempt:
        """Start one, and wait until it stands at the update ``hold``."""
        holding = self._orders / "holding"
        holding.unlink(missing_ok=True)
        if hold is not None:
            (self._orders / f"hold-{hold}-0").touch()
        log = self._folder / f"{len(self._attempts) + 1}.log"
        attempt = Attempt(self.parcel, log, self.environment, self._anew)
        self._attempts.append(attempt)
        while hold is not None and not holding.exists():
            assert driving.living([attempt.process]), attempt.log
            driving.wait_until(
                lambda: holding.exists() or not driving.living([attempt.process]), what="the update"
            )
        return attempt

    def let_go(self) -> None:
        """Let a held update go on."""
        for order in self._orders.glob("hold-*"):
            order.unlink()

    @property
    def run(self) -> Folder:
        """The folder of its only run."""
        (name,) = self._storage.names()
        return self._storage / name

    @property
    def record(self) -> RunRecord:
        """What is recorded of it."""
        record = RunRecord.load(self.run)
        assert record is not None
        return record

    @property
    def checkpoints(self) -> list[int]:
        """Steps of the checkpoints that are there."""
        return sorted(int(name.split("-")[1]) for name in self.run.names("checkpoints"))

    @property
    def kept(self) -> dict[str, str]:
        """The kept logs by their names, the oldest first."""
        folder = self.run / PLACE
        names = [name for name in folder.names() if name.endswith(".log")]
        return {name: folder.read_bytes(name).decode() for name in names}

    def wait_for_logs(self, *attempts: Attempt) -> None:
        """Until the logs of these attempts, and no others, are kept whole."""
        driving.wait_until(
            lambda: list(self.kept.values()) == [attempt.log for attempt in attempts],
            what="the logs",
        )
