"""A kubelet that really runs the container of a pod, as a process of this machine."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kube.server import KubeServer

from trainwright.doctor import Finding
from trainwright.submission.probe.telling import tell, tell_end

Json = dict[str, Any]
Run = Callable[[KubeServer, Json], None]
"""What happens to a pod that was made."""


@contextmanager
def kubelet(server: KubeServer, run: Run) -> Iterator[None]:
    """Inside, ``run`` is called for each pod that appears, in a thread."""
    seen = {pod["metadata"]["uid"] for pod in server.store.list("pods")}
    stop = threading.Event()

    def fresh() -> Json | None:
        pods = server.store.list("pods")
        return next((pod for pod in pods if pod["metadata"]["uid"] not in seen), None)

    def work() -> None:
        while not stop.is_set():
            pod = server.wait(lambda: fresh() or stop.is_set())
            if isinstance(pod, dict):
                seen.add(pod["metadata"]["uid"])
                run(server, pod)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        with server.store.changed:
            server.store.changed.notify_all()
        thread.join()


def scripted(*findings: Finding, ends: bool = True, code: int = 0, reason: Any = None) -> Run:
    """A pod that tells these findings and ends."""

    def run(server: KubeServer, pod: Json) -> None:
        log = io.StringIO("something else\n")
        log.seek(0, io.SEEK_END)
        for finding in findings:
            tell(log, finding)
        if ends:
            tell_end(log)
        for line in log.getvalue().splitlines():
            server.log(pod["metadata"]["name"], line)
        server.kubelet.exit(pod["metadata"]["name"], code, reason)

    return run


def really(folder: Path) -> Run:
    """Runs the command of a pod with its environment, in a folder with its ConfigMap's files."""

    def run(server: KubeServer, pod: Json) -> None:
        container = pod["spec"]["containers"][0]
        python, *arguments = container["command"]
        assert python == "python"
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=_mounted(server, pod, container["workingDir"], folder),
            env={**os.environ, **_environment(server, container)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        name = pod["metadata"]["name"]
        server.kubelet.run(name)
        for line in process.stdout:
            server.log(name, line.rstrip("\n"))
        server.kubelet.exit(name, process.wait())

    return run


def _mounted(server: KubeServer, pod: Json, place: str, folder: Path) -> Path:
    """The files of the ConfigMap that is mounted at a place."""
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    name = next(mount["name"] for mount in mounts if mount["mountPath"] == place)
    volume = next(one for one in pod["spec"]["volumes"] if one["name"] == name)["configMap"]
    data = server.store.get("configmaps", volume["name"])["data"]
    for item in volume["items"]:
        file = folder / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]])
    return folder


def _environment(server: KubeServer, container: Json) -> dict[str, str]:
    found = {}
    for variable in container.get("env", []):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        else:
            entry = variable["valueFrom"]["secretKeyRef"]
            secret = server.store.get("secrets", entry["name"])
            found[variable["name"]] = secret["stringData"][entry["key"]]
    return found
