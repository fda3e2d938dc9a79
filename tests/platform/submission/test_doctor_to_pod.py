"""The pod by which ``doctor --to k8s`` looks from inside."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fit_clusters import CONTENT, examined, fit_cluster, parcel, put, state
from kube.server import KubeServer
from kube_targets import target_of
from pretended_pods import kubelet, really, scripted

from trainwright.doctor import Finding
from trainwright.submission.kubernetes.rendering.extras import entry_of
from trainwright.submission.parcel import JOB
from trainwright.submission.probe import Trial


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeServer]:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with fit_cluster(tmp_path) as running:
        yield running


def left(server: KubeServer) -> list[str]:
    """What the doctor has left in the namespace."""
    kinds = ("pods", "configmaps")
    return [
        found["metadata"]["name"] for kind in kinds for found in server.store.list(kind, "default")
    ]


def test_the_pod_is_as_that_of_a_head_and_nothing_of_it_stays(server: KubeServer) -> None:
    made: list[Any] = []
    tells = scripted(Finding("shared", "ok", "x"), Finding("/dev/shm", "note", "small", "larger"))

    def run(server: KubeServer, pod: Any) -> None:
        made.append((pod, server.store.get("configmaps", pod["metadata"]["name"])))
        tells(server, pod)

    volume = {"claim": "data", "path": "/data"}
    claim = {"accessModes": ["ReadWriteMany"]}
    put(server, "PersistentVolumeClaim", "data", spec=claim, status={"phase": "Bound"})
    with kubelet(server, run):
        found = examined(Trial(parcel()), volumes=[volume], environment={"A": "1"})
    assert found["shared"].says == "x"
    assert "head.memory" in found["/dev/shm"].mend
    assert left(server) == []
    ((pod, config),) = made
    spec = pod["spec"]
    container = spec["containers"][0]
    assert spec["activeDeadlineSeconds"] < 3600
    assert spec["serviceAccountName"] == "trainwright"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {"name": "A", "value": "1"} in container["env"]
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/data", "/tmp", "/dev/shm", "/submission"} <= paths
    assert "ports" not in container
    assert json.loads(config["data"]["probe.json"])["versions"]["trainwright"]
    assert config["data"][entry_of(JOB)] == CONTENT.decode()


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (lambda s, pod: s.kubelet.hold(pod, "ImagePullBackOff", "manifest unknown"), "tw:1"),
        (
            lambda s, pod: s.kubelet.hold(
                pod, "CreateContainerConfigError", 'secret "s3" not found'
            ),
            "s3",
        ),
        (
            lambda s, pod: s.store.patch(
                "pods",
                pod,
                {
                    "status": {
                        "conditions": [
                            {
                                "type": "PodScheduled",
                                "status": "False",
                                "reason": "Unschedulable",
                                "message": "0/3 nodes are available: 3 Insufficient cpu.",
                            }
                        ]
                    }
                },
            ),
            "of 3 nodes 3 have too little cpu",
        ),
        (lambda s, pod: s.store.delete("pods", pod), "deleted"),
    ],
    ids=["image", "secret", "no-room", "deleted"],
)
def test_a_pod_that_does_not_start(server: KubeServer, happens: Any, says: str) -> None:
    with kubelet(server, lambda server, pod: happens(server, pod["metadata"]["name"])):
        found = examined(Trial())
    assert found["probe pod"].state == "stop"
    assert says in found["probe pod"].says
    assert left(server) == []


def test_a_pod_that_breaks_off(server: KubeServer) -> None:
    with kubelet(server, scripted(ends=False, code=3)):
        assert "status 3; the end of its log: something else" in examined(Trial())["probe"].says
    with kubelet(server, scripted(ends=False, code=137, reason="OOMKilled")):
        assert "memory" in examined(Trial())["probe pod"].says
    assert left(server) == []


def test_a_pod_that_is_not_admitted(server: KubeServer) -> None:
    quota = (
        'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, '
        "limited: pods=2"
    )
    server.fail(403, verb="create", resource="pods", message=quota)
    found = examined(Trial())
    assert found["probe pod"].state == "stop"
    assert "team" in found["probe pod"].says
    assert left(server) == []


def test_who_may_not_make_pods_is_told_and_not_stopped(server: KubeServer) -> None:
    server.forbid("delete", "pods")
    found = examined(Trial())
    assert state(found) == {"permissions": "note", "probe pod": "note"}
    assert not server.calls("create", "pods")


def test_on_a_running_cluster_the_pod_is_as_its_head(server: KubeServer) -> None:
    images: list[str] = []
    container = {
        "name": "head",
        "image": "theirs:2",
        "args": ["x"],
        "ports": [{"containerPort": 1}],
    }
    template = {"spec": {"containers": [container], "serviceAccountName": "theirs"}}
    spec = {"headGroupSpec": {"template": template}}
    status = {"state": "ready"}
    put(server, "RayCluster", "ours", version="ray.io/v1", spec=spec, status=status)

    def run(server: KubeServer, pod: Any) -> None:
        images.append(pod["spec"]["containers"][0]["image"])
        assert pod["spec"]["serviceAccountName"] == "theirs"
        scripted()(server, pod)

    with kubelet(server, run):
        found = examined(Trial(), cluster="ours")
    assert state(found) == {}
    assert images == ["theirs:2"]
    server.forbid("get", "rayclusters.ray.io")
    assert "not yours to see" in examined(Trial(), cluster="ours")["probe pod"].says


def test_a_reader_who_stops_early_leaves_nothing(server: KubeServer) -> None:
    holds = threading.Event()

    def run(server: KubeServer, pod: Any) -> None:
        server.kubelet.run(pod["metadata"]["name"])
        holds.set()

    with kubelet(server, run):
        findings = target_of().examine(Trial())
        for finding in findings:
            if finding.name == "probe pod":
                break
        assert left(server) != []
        findings.close()
    assert holds.is_set()
    assert left(server) == []


@pytest.mark.slow
def test_the_probe_itself_in_the_pod(server: KubeServer, tmp_path: Path) -> None:
    put(
        server,
        "Secret",
        "store",
        data={"password": "eA=="},
        stringData={"password": "hunter2hunter2"},
    )
    profile = {
        "environment": {"PLACE": str(tmp_path)},
        "secret_environment": {"STORE_PASSWORD": {"secret": "store", "key": "password"}},
    }
    asked = parcel(2, "storage=${PLACE}/runs", "name=${STORE_PASSWORD}")
    with kubelet(server, really(tmp_path / "pod")):
        found = examined(Trial(asked), **profile)
    assert state(found) == {"job": "stop"}
    asked = parcel(2, "storage=${PLACE}/runs")
    with kubelet(server, really(tmp_path / "pod")):
        found = examined(Trial(asked), **profile)
    assert state(found) == {}
    assert str(tmp_path / "runs") in found["storage"].says
    assert found["job"].says.startswith("would run as small-")
    assert left(server) == []
