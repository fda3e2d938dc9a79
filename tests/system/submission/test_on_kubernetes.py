"""Jobs sent to Kubernetes, from the command line to the weights: a real Ray behind it all.

The API server and KubeRay's operator are pretended; what they are given, and what runs, is real.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import psutil
import pytest
import s3fs
import yaml
from chaos.servers import ObjectStore, store_environment
from click.testing import Result
from driving import wait_until
from kube.server import KubeServer
from pretended_kuberay import Operator
from ray_heads import TOKEN, Head
from sent_jobs import LONG, small_job
from typer.testing import CliRunner

from trainwright.cli.main import app
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.submission.progress import Progress

pytestmark = pytest.mark.timeout(600)

NAMESPACE = "research"
STORAGE = "s3://research/runs"
PROFILE = {
    "image": "trainwright:0.1.0",
    "namespace": NAMESPACE,
    "storage": STORAGE,
    "secrets": ["store-keys"],
    "retries": 2,
}


@dataclass
class Cluster:
    """A namespace with KubeRay.

    Attributes:
        server: its API.
        profile: how jobs run there.
    """

    server: KubeServer
    profile: Path

    def __call__(self, *arguments: str | Path) -> Result:
        """A call of the command line; it may not say the token or show a traceback."""
        options = ["--to", "k8s", "--profile", str(self.profile)]
        said = CliRunner().invoke(app, [*map(str, arguments), *options])
        assert TOKEN not in said.output
        assert "Traceback" not in said.output
        return said

    def rayjob(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.store.get("rayjobs", name, NAMESPACE)
        return found

    def annotations(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.rayjob(name)["metadata"]["annotations"]
        return found

    def status(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self("status", name, "--json").stdout)
        return told


@pytest.fixture(scope="module")
def cluster(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with KubeServer() as server, pytest.MonkeyPatch.context() as patch:
        server.store.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        access = {
            # The driver writes to the API server; in a pod it would have the pod's own access.
            "KUBECONFIG": str(server.kubeconfig(folder, namespace=NAMESPACE)),
            **store_environment(store),
            **token,
        }
        for name, value in access.items():
            patch.setenv(name, value)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir("research")
        (folder / "profile.yaml").write_text(yaml.safe_dump(PROFILE))
        head = Head(num_cpus=2)
        try:
            with Operator(server, NAMESPACE, head.url, token, folder / "mounts"):
                yield Cluster(server, folder / "profile.yaml")
        finally:
            head.close()
            s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = ObjectStore(tmp_path_factory.mktemp("store"))
    server.start()
    try:
        server.wait()
        yield server.uri
    finally:
        server.kill()


def job(folder: Path, **changes: Any) -> Path:
    (folder / "losses.py").write_text(
        "from torch import nn\n\n\nclass Mine(nn.CrossEntropyLoss):\n    pass\n"
    )
    return small_job(folder, objective="losses.py:Mine", **changes)


def record(run: str) -> RunRecord:
    found = RunRecord.load(Folder(f"{STORAGE}/{run}"))
    assert found is not None
    return found


def test_from_the_job_file_to_the_weights(cluster: Cluster, tmp_path: Path) -> None:
    file = job(tmp_path)
    said = cluster("submit", file, "-f")
    assert said.exit_code == 0, said.output
    (name,) = (found["metadata"]["name"] for found in cluster.server.store.list("rayjobs"))
    assert said.stdout.count("finished digits-") == 1
    told = cluster.status(name)
    assert told["state"] == "finished"
    progress = Progress.of_text(cluster.annotations(name)["trainwright/progress"])
    assert progress is not None
    assert progress.percent == 100
    assert told["storage"] == f"{STORAGE}/{told['run']}"
    assert record(told["run"]).status == "finished"
    files = Folder(told["storage"])
    assert files.exists("export/model.safetensors")
    kept = files / "logs" / "attempts"
    assert any(b"finished digits-" in kept.read_bytes(log) for log in kept.names())

    again = cluster("submit", file)
    assert again.exit_code == 0
    assert "is finished already" in again.stdout

    assert cluster("delete", name).exit_code == 0
    for plural in ("rayjobs", "configmaps", "networkpolicies"):
        left = cluster.server.store.list(plural, NAMESPACE)
        assert not [found for found in left if name in found["metadata"]["name"]]
    assert record(told["run"]).status == "finished"


@pytest.mark.slow
def test_a_lost_attempt_is_followed_by_one_that_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    changes = {"training.epochs": LONG, "training.checkpoint_every": "2 epochs", "seed": 1}
    file = job(tmp_path, **changes)
    name = json.loads(cluster("submit", file, "--json").stdout)["id"]
    lost = wait_until(lambda: _driver(name), what="the first attempt")
    run = wait_until(lambda: cluster.annotations(name).get("trainwright/run"), what="its run")
    wait_until(lambda: Folder(f"{STORAGE}/{run}/checkpoints").names(), what="a checkpoint")
    lost.kill()
    wait_until(
        lambda: cluster.rayjob(name)["status"].get("failed") == 1 and _driver(name),
        what="the second attempt",
    )
    wait_until(lambda: "going on from" in cluster("logs", name).stdout, what="its first line")
    assert cluster.status(name)["state"] == "running"

    stopped = cluster("stop", name)
    assert stopped.exit_code == 0, stopped.output
    assert cluster.status(name)["state"] == "stopped"
    assert record(run).status == "interrupted"
    steps = record(run).steps
    assert steps > 0

    follow_up = json.loads(cluster("submit", file, "--json").stdout)
    assert follow_up["id"] == f"{name}-2"
    wait_until(
        lambda: "going on from" in cluster("logs", f"{name}-2").stdout, what="the next submission"
    )
    assert cluster("stop", f"{name}-2").exit_code == 0
    assert record(run).steps >= steps


def _driver(name: str) -> psutil.Process | None:
    """The process that runs a submission; not those beside it."""
    for process in psutil.process_iter():
        try:
            arguments, environ = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        inside = arguments[1:] == ["-m", "trainwright.submission.inside"]
        if inside and environ.get("TRAINWRIGHT_SUBMISSION") == name:
            return process
    return None
