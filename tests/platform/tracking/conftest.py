"""A real MLflow database and server, and a proxy in front of it that misbehaves on demand."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos.servers import Database, MlflowServer, make_database
from proxy import Proxy

from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking import ShipperProcess


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all migrations run, to be copied."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    make_database(path)
    return path


@pytest.fixture
def database(template_database: Path, tmp_path: Path) -> Database:
    shutil.copy(template_database, tmp_path / "mlflow.db")
    return Database(tmp_path / "mlflow.db")


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
