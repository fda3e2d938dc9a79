"""Tokens, certificates, permissions and restarts of the API server of the tests, and kubectl."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from kube.samples import config_map, pod, ray_job
from kube.server import KubeServer
from kubernetes import client, config
from kubernetes.client import ApiException
from urllib3.exceptions import MaxRetryError

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def secured() -> Iterator[KubeServer]:
    """One server for all tests here; kubectl sends tokens by HTTPS only."""
    with KubeServer(token="right", tls=True, user="jane") as running:
        yield running


@pytest.fixture
def server(secured: KubeServer) -> Iterator[KubeServer]:
    yield secured
    secured.permit("*", "*")
    secured.heal()
    for resource in ("pods", "rayjobs", "configmaps", "secrets", "events"):
        for found in secured.store.list(resource):
            secured.store.delete(resource, found["metadata"]["name"])
    secured.requests.clear()


@pytest.fixture
def kubectl(server: KubeServer, tmp_path: Path) -> Kubectl:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    file = server.kubeconfig(tmp_path)

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", f"--kubeconfig={file}", f"--cache-dir={tmp_path}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)

    return run


def test_a_wrong_token_and_an_unknown_certificate(server: KubeServer, tmp_path: Path) -> None:
    right = config.new_client_from_config(str(server.kubeconfig(tmp_path)))
    assert client.CoreV1Api(right).list_namespaced_pod("default").items == []
    me = client.AuthenticationV1Api(right).create_self_subject_review(client.V1SelfSubjectReview())
    assert me.status.user_info.username == "jane"

    wrong = config.new_client_from_config(str(server.kubeconfig(tmp_path, token="wrong")))
    with pytest.raises(ApiException) as error:
        client.CoreV1Api(wrong).list_namespaced_pod("default")
    assert json.loads(error.value.body)["reason"] == "Unauthorized"

    strange = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    del strange["clusters"][0]["cluster"]["certificate-authority-data"]
    with pytest.raises(MaxRetryError, match="CERTIFICATE_VERIFY_FAILED"):
        client.CoreV1Api(config.new_client_from_config_dict(strange)).list_namespaced_pod("default")


def test_what_is_forbidden_is_refused_and_told(server: KubeServer, tmp_path: Path) -> None:
    api = config.new_client_from_config(str(server.kubeconfig(tmp_path)))

    def may(verb: str, resource: str, subresource: str = "", namespace: str = "default") -> bool:
        attributes = client.V1ResourceAttributes(
            verb=verb, group="", resource=resource, subresource=subresource, namespace=namespace
        )
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        answer = client.AuthorizationV1Api(api).create_self_subject_access_review(
            client.V1SelfSubjectAccessReview(spec=spec)
        )
        return answer.status.allowed

    server.forbid("*", "pods", namespace="default")
    server.permit("get", "pods")
    server.forbid("get", "pods/log")
    assert may("get", "pods")
    assert not may("list", "pods")
    assert may("list", "pods", namespace="other")
    assert not may("get", "pods", "log")
    with pytest.raises(ApiException) as error:
        client.CoreV1Api(api).list_namespaced_pod("default")
    status = json.loads(error.value.body)
    assert status["code"] == 403
    assert status["message"] == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the '
        'namespace "default"'
    )


def test_a_server_comes_back_with_what_it_had(tmp_path: Path) -> None:
    with KubeServer() as server:
        api = config.new_client_from_config(str(server.kubeconfig(tmp_path)))
        core = client.CoreV1Api(api)
        core.create_namespaced_config_map("default", config_map("c"))
        server.stop()
        with pytest.raises(MaxRetryError):
            core.read_namespaced_config_map("c", "default", _request_timeout=1)
        server.start()
        assert core.read_namespaced_config_map("c", "default").metadata.name == "c"


def test_kubectl_keeps_objects(server: KubeServer, kubectl: Kubectl) -> None:
    def files(*objects: object) -> str:
        return yaml.safe_dump_all(objects)

    given = [ray_job("a"), pod("p"), config_map("c", {"k": "1"})]
    made = kubectl("apply", "-f", "-", stdin=files(*given))
    assert made.stdout.split("\n")[:3] == [
        "rayjob.ray.io/a created",
        "pod/p created",
        "configmap/c created",
    ], made.stderr
    given[2]["data"]["k"] = "2"
    again = kubectl("apply", "--validate=false", "-f", "-", stdin=files(*given))
    assert again.stdout.split("\n")[:3] == [
        "rayjob.ray.io/a unchanged",
        "pod/p unchanged",
        "configmap/c configured",
    ], again.stderr
    twice = kubectl("create", "-f", "-", stdin=files(given[0]))
    assert twice.returncode == 1
    assert '(AlreadyExists): error when creating "STDIN": rayjobs.ray.io "a"' in twice.stderr
    kubectl("create", "secret", "generic", "s", "--from-literal=key=value")
    assert server.store.get("secrets", "s")["data"] == {"key": "dmFsdWU="}

    listed = kubectl("get", "rayjobs,pods", "--output=name")
    assert listed.stdout == "rayjob.ray.io/a\npod/p\n"
    kubectl("patch", "rayjob", "a", "--type=merge", '--patch={"spec": {"suspend": false}}')
    assert server.store.get("rayjobs", "a")["spec"]["suspend"] is False
    gone = kubectl("delete", "rayjob/a", "pod/p")
    assert gone.stdout == 'rayjob.ray.io "a" deleted\npod "p" deleted\n'
    assert server.store.list("rayjobs") + server.store.list("pods") == []


def test_kubectl_asks_and_follows(server: KubeServer, kubectl: Kubectl) -> None:
    found = server.store.put(pod("p"))
    server.event(
        found, "FailedScheduling", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    )
    assert "3 Insufficient nvidia.com/gpu" in kubectl("describe", "pod", "p").stdout
    assert kubectl("get", "events").stdout.splitlines()[1].startswith("p.")
    server.log("p", "one")
    with ThreadPoolExecutor() as pool:
        followed = pool.submit(kubectl, "logs", "--follow", "p")
        server.wait(lambda: server.calls("get", "pods/log"))
        server.log("p", "two")
        server.kubelet.exit("p")
        assert followed.result().stdout == "one\ntwo\n"
    assert "rayjobs " in kubectl("api-resources", "--api-group=ray.io").stdout
    assert kubectl("auth", "can-i", "create", "rayjobs").stdout == "yes\n"
    server.forbid("create", "rayjobs")
    refused = kubectl("auth", "can-i", "create", "rayjobs")
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    assert "Unauthorized" in kubectl("get", "pods", "--token=wrong").stderr
