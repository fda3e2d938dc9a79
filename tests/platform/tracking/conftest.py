"""A real MLflow database and server, and a proxy in front of it that misbehaves on demand."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gloo import free_port
from proxy import Proxy

from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking import ShipperProcess

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "OMP_NUM_THREADS": "1"}


class Database:
    """An MLflow SQLite database, read past MLflow."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = f"sqlite:///{path}"

    def query(self, sql: str, *values: object) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as connection:
            return connection.execute(sql, values).fetchall()

    def points(self) -> list[tuple[str, int, float, int]]:
        """(key, step, value, time) of every stored point, nan as None."""
        sql = "select key, step, case is_nan when 1 then null else value end, timestamp"
        return self.query(f"{sql} from metrics order by key, step, timestamp")

    def values(self) -> list[tuple[str, int, float]]:
        return [point[:3] for point in self.points() if not point[0].startswith("system/")]

    def runs(self) -> list[tuple[str, str, str]]:
        """(id, name, status) of every run."""
        return self.query("select run_uuid, name, status from runs order by start_time")

    def tags(self) -> dict[str, str]:
        return dict(self.query("select key, value from tags"))

    def params(self) -> dict[str, str]:
        return dict(self.query("select key, value from params"))


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all migrations run, to be copied."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    code = (
        "import sys; from mlflow import MlflowClient;"
        "MlflowClient(tracking_uri='sqlite:///' + sys.argv[1]).search_experiments()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env={**os.environ, **QUIET})
    return path


@pytest.fixture
def database(template_database: Path, tmp_path: Path) -> Database:
    shutil.copy(template_database, tmp_path / "mlflow.db")
    return Database(tmp_path / "mlflow.db")


class MlflowServer:
    """A real ``mlflow server`` that can be killed and started again on the same port."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        shutil.copy(template, folder / "mlflow.db")
        self.database = Database(folder / "mlflow.db")
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", self.database.uri]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **QUIET},
            )

    def wait(self, timeout_s: float = 90.0) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                    if answer.read() == b"OK":
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError((self.folder / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def make_server(
    tmp_path_factory: pytest.TempPathFactory, template_database: Path
) -> Iterator[Callable[[], MlflowServer]]:
    """Makes a server that is not started yet."""
    servers: list[MlflowServer] = []

    def make() -> MlflowServer:
        servers.append(MlflowServer(tmp_path_factory.mktemp("server"), template_database))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session", autouse=True)
def _starting_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer | None]:
    """Starts the shared server early: it takes its time while other tests run."""
    if not any("server" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    template = request.getfixturevalue("template_database")
    running = MlflowServer(tmp_path_factory.mktemp("server"), template)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="session")
def server(_starting_server: MlflowServer) -> MlflowServer:
    """One server for all tests that do not kill it."""
    _starting_server.wait()
    return _starting_server


@pytest.fixture
def proxy(server: MlflowServer) -> Iterator[Proxy]:
    running = Proxy(server.port)
    yield running
    running.stop()


class RunFolder:
    """A run folder as the driver makes it."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(str(path))
        self.path = path
        self.folder.write_bytes("job.yaml", b"name: digits\n")
        job = {"name": "digits", "kind": "train", "training": {"epochs": 3}, "seed": 0}
        self.folder.write_json("resolved.json", job)
        self.record("running")

    def record(self, status: str, finished: float | None = None) -> None:
        record = RunRecord(name=self.path.name)
        record.claim()
        record.status = status  # type: ignore[assignment]
        record.finished = finished
        record.save(self.folder)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run ``digits-1`` under a storage folder of its own."""
    return RunFolder(tmp_path / "storage" / "digits-1")


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    """Polls a condition until it holds, or fails after a while."""

    def wait(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the condition never came true"
            time.sleep(0.05)

    return wait


@pytest.fixture
def start(run: Any) -> Iterator[Callable[..., ShipperProcess]]:
    """Starts shippers of the run; whatever still runs at the end is killed."""
    started: list[ShipperProcess] = []

    def make(uri: str, drain_timeout_s: float = 30.0) -> ShipperProcess:
        (run.path / "logs").mkdir(exist_ok=True)
        shipper = ShipperProcess(
            run.folder,
            uri=uri,
            experiment="digits",
            drain_timeout_s=drain_timeout_s,
            log=run.path / "logs" / "shipper.log",
        )
        started.append(shipper)
        return shipper

    yield make
    for shipper in started:
        shipper._finishing.set()
        if shipper._process is not None:
            shipper._process.kill()
            shipper._process.wait()
