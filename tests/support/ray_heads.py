"""Ray clusters as an administrator starts them: ``ray start`` on loopback, with a token."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import requests
from driving import end_all, living, wait_until
from gloo import free_port

TOKEN = "0123456789abcdef" * 3
_MARK = "TRAINWRIGHT_TEST_CLUSTER"
_MISLEADING = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "http_proxy", "HTTP_PROXY")


class Head:
    """A running head of a cluster, with a dashboard, and the nodes that joined it.

    Args:
        num_cpus: of the head.
        port: of the dashboard; default: a free one.
    """

    def __init__(self, num_cpus: int = 1, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Short, for Ray's sockets lie below it, and their paths have 107 characters at most.
        self._folder = Path(tempfile.mkdtemp(prefix="tw-", dir="/tmp"))
        self._gcs = free_port()
        self._start(
            *("--head", f"--port={self._gcs}", "--node-ip-address=127.0.0.1"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={self.port}"),
            *(f"--ray-client-server-port={free_port()}", f"--temp-dir={self._folder / 'ray'}"),
            f"--num-cpus={num_cpus}",
        )
        try:
            wait_until(self._answers, what="the dashboard")
        except BaseException:
            self.close()
            raise

    def add_node(self, num_cpus: int = 1) -> None:
        """Start a further node, and wait until the cluster has it."""
        before = self._num_nodes()
        self._start(f"--address=127.0.0.1:{self._gcs}", f"--num-cpus={num_cpus}")
        wait_until(lambda: self._num_nodes() > before, what="the node")

    def kill(self) -> None:
        """SIGKILL for every process of the cluster, jobs and nodes included."""
        end_all(self._processes())
        wait_until(lambda: not self._processes(), what="the end of the cluster")

    def close(self) -> None:
        """Kill it and remove its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, *options: str) -> None:
        psutil.Popen(
            [
                *(Path(sys.executable).parent / "ray", "start", "--block", *options),
                *("--dashboard-agent-listen-port=0", "--disable-usage-stats"),
            ],
            env={
                **{name: value for name, value in os.environ.items() if name not in _MISLEADING},
                **{"HOME": str(self._folder), _MARK: str(self._folder)},
                **{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN},
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _processes(self) -> list[psutil.Process]:
        """All that this object started, directly or not, whoever its parent is by now.

        Ray's agents write their titles over their environment, and are known by their parents.
        """
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == str(self._folder):
                    for one in (process, *process.children(recursive=True)):
                        found[one.pid] = one
        return living(found.values())

    def _answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return self._get("/api/version").status_code == 200
        return False

    def _num_nodes(self) -> int:
        nodes = self._get("/nodes?view=summary").json()["data"]["summary"]
        return sum(node["raylet"].get("state") == "ALIVE" for node in nodes)

    def _get(self, path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.get(self.url + path, headers=headers, timeout=10)
