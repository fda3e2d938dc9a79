"""Whether Ray can be started here, or the cluster a job names can be reached."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainwright.doctor.finding import Finding
from trainwright.doctor.probe import try_out

_CONNECT = """
import json
from trainwright.job.models import ClusterSpec
from trainwright.orchestration.on_ray import connect
connect(ClusterSpec(address={address!r}))
import ray
resources = ray.cluster_resources()
ray.shutdown()
print(json.dumps(dict(CPU=resources.get("CPU", 0), GPU=resources.get("GPU", 0))))
"""
TIMEOUT_S = 120.0


def check_cluster(address: str) -> Iterator[Finding]:
    """Start a Ray of our own and end it again, or join the cluster at ``address``."""
    running = _running_cluster()
    if running is not None and address == "local":
        says = f"one was started at {running}; jobs with cluster.address: local do not use it"
        yield Finding("ray cluster", "ok", says)
    what = "a Ray of its own" if address == "local" else f"the Ray cluster at {address}"
    probe = try_out(_CONNECT.format(address=address), timeout_s=TIMEOUT_S)
    if not probe.worked:
        yield Finding("ray", "stop", f"{what}: {probe.trouble}", _mend(address))
        return
    have = json.loads(probe.answer)
    gpus = f", {have['GPU']:g} GPU" if have["GPU"] else ""
    verb = "can be started" if address == "local" else "answers"
    yield Finding("ray", "ok", f"{what} {verb}: {have['CPU']:g} CPU{gpus}")


def _mend(address: str) -> str:
    if address == "local":
        return "use -s cluster.workers=0 to train without Ray; `ray start --head` may say more"
    return "start it with `ray start --head`, or use cluster.address: local"


def _running_cluster() -> str | None:
    """The address that ``ray start`` has left behind; the cluster itself may be gone."""
    folder = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray"
    try:
        return (folder / "ray_current_cluster").read_text().strip() or None
    except OSError:  # no such file: none was started
        return None
