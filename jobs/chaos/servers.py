"""Servers on loopback that a run needs: MLflow over SQLite, and an object store."""

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
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from chaos.proxy import free_port

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "OMP_NUM_THREADS": "1"}


SECRET = "hidden-secret-key"
"""Of :class:`ObjectStore`, which takes any."""


class Server(ABC):
    """A server process that can be killed and started again on the same port.

    Args:
        folder: working directory; gets ``server.log``.
        health: path of an address that answers 200 once it is up.
    """

    def __init__(self, folder: Path, health: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._health = health
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def start(self) -> None:
        """Start it; :meth:`wait` waits until it answers."""
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **QUIET},
            )

    def wait(self, timeout_s: float = 120.0) -> None:
        """Wait until it answers.

        Raises:
            TimeoutError: it does not; the end of its log is in the message.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.uri}{self._health}", timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError((self.folder / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL to it and all that it started; nothing happens when it does not run."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Database:
    """An MLflow SQLite database, read past MLflow."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = f"sqlite:///{path}"

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as connection:
            return connection.execute(sql, values).fetchall()

    def points(self) -> list[tuple[str, int, float, int]]:
        """(key, step, value, time) of every stored point, nan as None."""
        sql = "select key, step, case is_nan when 1 then null else value end, timestamp"
        return self.query(f"{sql} from metrics order by key, step, timestamp")

    def values(self) -> list[tuple[Any, ...]]:
        """(key, step, value) of every stored point; those about the machine left out."""
        return [point[:3] for point in self.points() if not point[0].startswith("system/")]

    def runs(self) -> list[tuple[str, str, str]]:
        """(id, name, status) of every run."""
        return self.query("select run_uuid, name, status from runs order by start_time")

    def tags(self) -> dict[str, str]:
        """Every tag."""
        return dict(self.query("select key, value from tags"))

    def params(self) -> dict[str, str]:
        """Every parameter."""
        return dict(self.query("select key, value from params"))


def make_database(path: Path) -> None:
    """Write an MLflow database with all migrations run."""
    code = (
        "import sys; from mlflow import MlflowClient;"
        "MlflowClient(tracking_uri='sqlite:///' + sys.argv[1]).search_experiments()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env={**os.environ, **QUIET})


class MlflowServer(Server):
    """A real ``mlflow server`` on a copy of a database.

    Args:
        folder: working directory.
        template: a database with all migrations run.
    """

    def __init__(self, folder: Path, template: Path) -> None:
        super().__init__(folder, "/health")
        shutil.copy(template, folder / "mlflow.db")
        self.database = Database(folder / "mlflow.db")

    def command(self) -> list[str]:
        """``mlflow server``."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", self.database.uri]
        return [*command, "--artifacts-destination", str(self.folder / "artifacts")]


class ObjectStore(Server):
    """An S3 server that keeps objects in memory; killing it would lose them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "/")

    def command(self) -> list[str]:
        """``moto_server``."""
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]


def store_environment(uri: str) -> dict[str, str]:
    """What a client of :class:`ObjectStore` needs to know."""
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": uri,
    }
