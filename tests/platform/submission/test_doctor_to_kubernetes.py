"""``doctor --to k8s``, against an API server in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fit_clusters import examined, fit_cluster, node, parcel, put, state
from kube.server import KubeServer
from kube_targets import target_of
from pretended_pods import kubelet, scripted

from trainwright.cli.main import main
from trainwright.submission.kubernetes.examining.permissions import rights, role_of
from trainwright.submission.probe import Trial
from trainwright.submission.profile import Profile
from trainwright.submission.target import TargetError

GPU = "nvidia.com/gpu"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeServer]:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with fit_cluster(tmp_path) as running:
        yield running


def test_a_cluster_that_has_all(server: KubeServer) -> None:
    found = examined()
    assert state(found) == {}
    assert "v1.7.0" in found["kuberay"].says
    assert "room for 4 pods" in found["nodes (worker)"].says
    assert not server.calls("create", "pods")


def test_no_api_server(server: KubeServer) -> None:
    server.stop()
    with pytest.raises(TargetError, match="is not reached"):
        examined()


def test_kuberay_is_not_installed_or_does_not_run(server: KubeServer) -> None:
    broken = {"conditions": [{"type": "Ready", "status": "False"}]}
    server.store.patch("pods", "op", {"status": broken}, "kuberay")
    found = examined()
    assert state(found) == {"kuberay": "stop"}
    assert "describe pod -n kuberay op" in found["kuberay"].mend
    server.store.delete("pods", "op", "kuberay")
    assert state(examined()) == {"kuberay": "note"}
    old = {"containers": [{"name": "operator", "image": "quay.io/kuberay/operator:v1.4.2"}]}
    put(
        server,
        "Pod",
        "op",
        "kuberay",
        labels={"app.kubernetes.io/name": "kuberay-operator"},
        spec=old,
        status={"conditions": [{"type": "Ready", "status": "True"}]},
    )
    assert "1.6" in examined()["kuberay"].says
    server.uninstall("ray.io")
    found = examined()
    assert found["kuberay"].state == "stop"
    assert "helm install" in found["kuberay"].mend


def test_no_namespace(server: KubeServer) -> None:
    found = examined(namespace="nowhere")
    assert list(found)[-1] == "namespace"
    assert "kubectl create namespace nowhere" in found["namespace"].mend


def test_rights_that_are_missing_come_as_a_role(server: KubeServer) -> None:
    server.forbid("watch", "rayjobs.ray.io")
    found = examined()
    assert state(found) == {"permissions": "note"}
    server.forbid("create", "rayjobs.ray.io")
    server.forbid("*", "pods/log")
    found = examined()
    assert state(found) == {"permissions": "stop"}
    says, mend = found["permissions"].says, found["permissions"].mend
    assert "create rayjobs: no job can be sent" in says
    assert "get pods/log" in says
    assert "configmaps" not in says
    role = yaml.safe_load(mend.partition("\n")[2])
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "default")
    assert {(rule["resources"][0], tuple(rule["verbs"])) for rule in role["rules"]} == {
        ("rayjobs", ("create", "watch")),
        ("pods/log", ("get",)),
    }


def test_the_rights_are_those_that_the_commands_use(server: KubeServer) -> None:
    profile = Profile.model_validate({"image": "tw:1", "namespace": "default"})
    role = yaml.safe_load(role_of("default", rights(profile, probes=True)))
    allowed = {(verb, rule["resources"][0]) for rule in role["rules"] for verb in rule["verbs"]}
    target = target_of()
    target.create("small-01234567", parcel())
    put(
        server,
        "Pod",
        "submitter",
        labels={"job-name": "small-01234567"},
        spec={"containers": [{"name": "main", "image": "x"}]},
    )
    server.kubelet.run("submitter")
    target.all()
    target.find("small-01234567")
    list(target.logs("small-01234567"))
    target.stop("small-01234567")
    target.delete("small-01234567")
    with kubelet(server, scripted()):
        list(target.examine(Trial()))
    asked = {(request.verb, request.resource) for request in server.requests}
    of_doctor = {
        request
        for request in asked
        if request[1] in ("", "namespaces", "nodes", "resourcequotas", "serviceaccounts")
        or request[1].startswith("selfsubject")
    }
    assert asked - of_doctor <= allowed
    assert len(asked & allowed) > 12


def test_a_user_who_may_read_nothing_else(server: KubeServer) -> None:
    for resource in ("namespaces", "nodes", "secrets", "serviceaccounts", "resourcequotas"):
        server.forbid("*", resource)
    server.forbid("list", "pods", "")
    found = examined(secrets=["s3"])
    assert state(found) == {"service account": "note", "secret": "note", "nodes": "note"}
    assert "not yours to see" in found["kuberay"].says


def test_what_a_profile_names_is_there(server: KubeServer) -> None:
    names = {
        "service_account": "somebody",
        "pull_secrets": ["registry"],
        "volumes": [{"claim": "data", "path": "/data"}],
        "priority": "high",
    }
    found = examined(**names)
    assert "docker-registry registry" in found["secret"].mend
    assert state(found) == dict.fromkeys(
        ["service account", "secret", "volume", "priority"], "stop"
    )
    put(server, "ServiceAccount", "somebody")
    put(server, "Secret", "registry")
    claim = {"accessModes": ["ReadWriteOnce"]}
    put(server, "PersistentVolumeClaim", "data", spec=claim, status={"phase": "Bound"})
    server.store.put(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "high"},
        }
    )
    assert state(examined(**names)) == {"volume": "note"}
    claim = {"accessModes": ["ReadWriteMany"]}
    put(server, "PersistentVolumeClaim", "data", spec=claim, status={"phase": "Bound"})
    assert state(examined(**names)) == {}


def test_the_entries_of_a_secret(server: KubeServer) -> None:
    entry = {"secret_environment": {"STORE_PASSWORD": {"secret": "s3", "key": "password"}}}
    put(server, "Secret", "s3", data={"user": "eA=="})
    found = examined(**entry)
    assert found["secret"].says == "s3 has no entry password"
    put(server, "Secret", "s3", data={"password": "eA=="})
    assert state(examined(**entry)) == {}


def test_a_queue_and_a_running_cluster(server: KubeServer) -> None:
    assert "localqueues" in examined(queue="gpus")["queue"].mend
    inactive = {"conditions": [{"type": "Active", "status": "False", "message": "no quota"}]}
    beta = "kueue.x-k8s.io/v1beta1"
    put(server, "LocalQueue", "gpus", version=beta, status=inactive)
    assert "no quota" in examined(queue="gpus")["queue"].says
    put(server, "LocalQueue", "gpus", version=beta, status={})
    assert state(examined(queue="gpus")) == {}
    assert examined(cluster="ours")["ray cluster"].state == "stop"
    put(server, "RayCluster", "ours", version="ray.io/v1", status={"state": "ready"})
    assert state(examined(cluster="ours")) == {}


def test_quota_and_nodes(server: KubeServer) -> None:
    hard = {"pods": "10", "requests.cpu": "10", "limits.memory": "100Gi"}
    used = {"pods": "2", "requests.cpu": "6", "limits.memory": "1Gi"}
    put(server, "ResourceQuota", "team", status={"hard": hard, "used": used})
    found = examined()
    assert state(found) == {"quota": "note"}
    assert "requests.cpu: 6 wanted, 6 of 10 in use" in found["quota"].says
    assert "memory" not in found["quota"].says
    server.store.delete("resourcequotas", "team")
    worker = {"gpu": 2}
    found = examined(worker=worker)
    assert "hold 0 pods" in found["nodes (worker)"].says
    assert f"none of them tells of {GPU}" in found["nodes (worker)"].mend
    taint = {"taints": [{"key": GPU, "effect": "NoSchedule"}]}
    node(server, "b", taint, cpu="64", memory="512Gi", **{GPU: "8"})
    worker["node_selector"] = {"kind": "b"}
    found = examined(worker=worker)
    assert state(found) == {"nodes (worker)": "note"}
    assert "worker.tolerations" in found["nodes (worker)"].mend
    worker["tolerations"] = [{"key": GPU}]
    found = examined(worker=worker)
    assert "room for 4 pods" in found["nodes (worker)"].says
    assert state(examined(Trial(parcel(20), probes=False), worker=worker)) == {
        "nodes (worker)": "note"
    }
    worker["node_selector"] = {"kind": "c"}
    assert "kind=c" in examined(worker=worker)["nodes (worker)"].says


def test_a_job_that_the_pods_do_not_hold(server: KubeServer) -> None:
    found = examined(Trial(parcel(4), probes=False), worker={"replicas": 1, "cpu": 1})
    assert found["pods"].state == "stop"
    assert "worker.replicas=4" in found["pods"].mend


def command(tmp_path: Path, *arguments: str) -> int:
    profile = tmp_path / "mine.yaml"
    profile.write_text("image: tw:1\nnamespace: default\n")
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--to", "k8s", "--profile", str(profile), *arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_the_command(
    server: KubeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, "--no-probe", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["status"] == "ready"
    assert {"name", "state", "says", "mend"} == answer["findings"][0].keys()
    server.forbid("create", "rayjobs.ray.io")
    assert command(tmp_path, "--no-probe") == 1
    out = capsys.readouterr()
    assert 'resources: ["rayjobs"]' in out.out
    assert "permissions" in out.err
    assert command(tmp_path, "--no-probe", "-n", "nowhere") == 1
    assert command(tmp_path, "--storage", "runs") == 2
    capsys.readouterr()
    server.fail(401, times=9)
    assert command(tmp_path, "--no-probe") == 2
    assert "does not accept your credentials" in capsys.readouterr().err
