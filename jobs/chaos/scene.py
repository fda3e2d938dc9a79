"""The run under fire with everything around it: cluster, object store, MLflow, the command."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import psutil

from chaos.nodes import Nodes
from chaos.proxy import Proxy
from chaos.servers import MlflowServer, ObjectStore, make_database, store_environment
from trainwright.runs import list_runs
from trainwright.storage import Folder

HERE = Path(__file__).resolve().parent
BUCKET = "chaos"
PATIENCE_S = 240.0
NUM_NODES = 3


class StuckError(Exception):
    """The run did not get where it should have."""


@dataclass
class Scene:
    """See the module; made by :func:`staged`.

    Attributes:
        folder: for everything.
        seed: decides what is random.
        num_steps: updates of the job.
        step_s: seconds that an update takes at least.
        nodes: the Ray cluster.
        store: the object store, without the proxy.
        door: the proxy through which the run sees the store.
        mlflow: the tracking server.
        num_commands: how often the command was given.
    """

    folder: Path
    seed: int
    num_steps: int
    step_s: float
    nodes: Nodes
    store: ObjectStore
    door: Proxy
    mlflow: MlflowServer
    num_commands: int = 0
    rng: random.Random = field(init=False)
    _driver: psutil.Popen | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        (self.folder / "pace").mkdir()
        (self.folder / "calm").mkdir()

    # The command

    def command(self) -> None:
        """Give the command, for the first time or again."""
        self._driver = self._start(
            f"storage=s3://{BUCKET}/runs",
            f"tracking.uri={self.mlflow.uri}",
            f"strategies.0.folder={self.folder / 'pace'}",
            f"strategies.0.step_s={self.step_s}",
        )
        self.num_commands += 1

    def run_calmly(self) -> Folder:
        """The same job without faults, on local storage; its run folder."""
        driver = self._start(
            f"storage={self.folder / 'calm' / 'runs'}",
            "tracking.enabled=false",
            f"strategies.0.folder={self.folder / 'calm'}",
        )
        if driver.wait(PATIENCE_S * 2) != 0:
            raise StuckError(f"the run without faults failed:\n{self.log_end()}")
        ((folder, _),) = list_runs(Folder(str(self.folder / "calm" / "runs")))
        return folder

    def _start(self, *overrides: str) -> psutil.Popen:
        command = [sys.executable, "-m", "trainwright", "run", str(HERE / "chaos.yaml")]
        places = (f"cluster.address={self.nodes.address}", f"training.steps={self.num_steps}")
        for override in (*places, *overrides):
            command += ["-s", override]
        with open(self.folder / "driver.log", "ab") as log:
            return psutil.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **store_environment(self.door.uri), "OMP_NUM_THREADS": "1"},
            )

    @property
    def driver(self) -> psutil.Popen:
        """The process of the command."""
        assert self._driver is not None
        return self._driver

    def exit_status(self) -> int | None:
        """Of the command; None while it runs."""
        status: int | None = self.driver.poll()
        return status

    def log_end(self) -> str:
        """The last that the commands have said."""
        return (self.folder / "driver.log").read_text(errors="replace")[-3000:]

    # What is known of the run

    def steps(self) -> list[tuple[float, int]]:
        """(time, number) of every update there ever was."""
        lines = _lines(self.folder / "pace" / "steps")
        return [(float(time), int(step)) for time, step in lines]

    @property
    def step(self) -> int:
        """The last update."""
        steps = self.steps()
        return steps[-1][1] if steps else 0

    def workers(self) -> list[psutil.Process]:
        """The processes that train, by rank."""
        pids = {int(rank): int(pid) for rank, pid in _lines(self.folder / "pace" / "workers")}
        found = []
        for _, pid in sorted(pids.items()):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def run(self) -> Folder:
        """The run's folder, seen past the proxy."""
        files = self.files()
        (path,) = files.ls(f"{BUCKET}/runs", detail=False)
        return Folder(f"s3://{path}")

    def files(self) -> Any:
        """The object store, past the proxy."""
        files = fsspec.filesystem("s3")
        files.invalidate_cache()
        return files

    # Waiting

    def until(self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
        """Wait for something.

        Raises:
            StuckError: it does not happen.
        """
        deadline = time.monotonic() + patience_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise StuckError(f"waited {patience_s:.0f} s for {what}:\n{self.log_end()}")
            time.sleep(0.02)
        return value

    def until_trained(self, beyond: int) -> int:
        """Wait for an update after ``beyond``; gives the command again where it has ended.

        Returns:
            How often it was given again.
        """
        again = 0
        deadline = time.monotonic() + PATIENCE_S
        while self.step <= beyond:
            if (status := self.exit_status()) is not None:
                if again == 3:
                    raise StuckError(f"the command ended with {status} again:\n{self.log_end()}")
                again += 1
                self.command()
            if time.monotonic() > deadline:
                raise StuckError(f"no update after {beyond}:\n{self.log_end()}")
            time.sleep(0.02)
        return again


@contextlib.contextmanager
def staged(folder: Path, seed: int, num_steps: int, step_s: float) -> Any:
    """A scene with all servers up, ended with all that it started.

    Args:
        folder: an empty folder.
        seed: decides what is random.
        num_steps: updates of the job.
        step_s: seconds that an update takes at least.
    """
    os.environ["RAY_AUTH_MODE"] = "disabled"
    with contextlib.ExitStack() as stack:
        make_database(folder / "template.db")
        store = ObjectStore(folder / "store")
        mlflow = MlflowServer(folder / "mlflow", folder / "template.db")
        for server in (store, mlflow):
            stack.callback(server.kill)
            server.start()
        nodes = Nodes(NUM_NODES)
        stack.callback(nodes.stop)
        for server in (store, mlflow):
            server.wait()
        os.environ.update(store_environment(store.uri))
        fsspec.filesystem("s3").mkdir(BUCKET)
        door = Proxy(store.port)
        stack.callback(door.stop)
        scene = Scene(folder, seed, num_steps, step_s, nodes, store, door, mlflow)
        stack.callback(_end, scene)
        yield scene


def _end(scene: Scene) -> None:
    if scene._driver is not None and scene.exit_status() is None:
        family = [scene.driver, *scene.driver.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)


def _lines(path: Path) -> list[list[str]]:
    """The words of each whole line of a file that may not be there yet."""
    if not path.exists():
        return []
    text = path.read_text()
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
