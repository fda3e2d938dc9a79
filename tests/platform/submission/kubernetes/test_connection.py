"""What can be wrong between a user and an API server: one line each, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from kube.faults import Close, Hang
from kube.server import KubeServer
from kube_targets import Config, changed, refused, target_of

from trainwright.submission.kubernetes import api
from trainwright.submission.kubernetes.target import KubernetesTarget
from trainwright.submission.parcel import Parcel


def test_the_token_is_wrong(server: KubeServer, tmp_path: Path) -> None:
    server.kubeconfig(tmp_path, token="another")
    refused(
        target_of().all,
        f"{server.url} does not accept your credentials",
        f"they come from the user tester in {tmp_path}/kubeconfig: log in again",
    )


@pytest.mark.parametrize(
    ("verb", "resource", "what"),
    [
        ("list", "rayjobs", "tester may not list rayjobs.ray.io in namespace default"),
        ("get", "rayjobs", "tester may not get rayjobs.ray.io in namespace default"),
        ("create", "configmaps", "tester may not create configmaps in namespace default"),
        (
            "create",
            "networkpolicies",
            "tester may not create networkpolicies.networking.k8s.io in namespace default",
        ),
    ],
)
def test_a_right_is_missing(
    server: KubeServer,
    target: KubernetesTarget,
    parcel: Parcel,
    verb: str,
    resource: str,
    what: str,
) -> None:
    server.forbid(verb, resource)
    act = target.all if verb == "list" else lambda: target.create(parcel.base, parcel)
    refused(
        act,
        what,
        f"`kubectl -n default auth can-i {verb} {resource}",
        "the role of k8s/submitters.yaml",
    )


def test_kuberay_is_not_installed(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel
) -> None:
    server.uninstall("ray.io")
    for act in (target.all, lambda: target.find("x"), lambda: target.create(parcel.base, parcel)):
        refused(act, "KubeRay is not installed in this cluster", "helm install kuberay-operator")


def test_there_is_no_such_namespace(server: KubeServer, parcel: Parcel) -> None:
    target = target_of(namespace="nowhere")
    refused(
        lambda: target.create(parcel.base, parcel),
        "there is no such namespace",
        "'nowhere'",
        "`kubectl create namespace nowhere`, or --namespace NAME",
    )
    assert target.all() == []


def test_it_is_busy(server: KubeServer, target: KubernetesTarget) -> None:
    waited: list[float] = []
    target._api._sleep = waited.append
    server.fail(429, verb="list", retry_after_s=3)
    server.fail(429, verb="list", retry_after_s=1000)
    server.fail(503, verb="list")
    assert target.all() == []
    assert waited == [3, 15, 2.0]
    server.fail(429, verb="list", times=9)
    refused(target.all, f"{server.url} has too much to do", "try again in a minute")


def test_it_fails(server: KubeServer, target: KubernetesTarget) -> None:
    server.fail(500, verb="list", times=9)
    refused(
        target.all,
        "failed with status 500: Internal error occurred: failed calling webhook",
        "the webhook webhook.example.com of the cluster is broken",
    )
    server.heal()
    server.fail(504, verb="list", times=9)
    refused(target.all, "failed with status 504", "ask whoever runs the cluster")


def test_conflicts_and_what_is_forgotten(server: KubeServer, target: KubernetesTarget) -> None:
    server.fail(409, verb="list", message="modified")
    refused(target.all, "cannot be changed now: modified", "try again")
    server.fail(410, verb="list", times=2)
    refused(target.all, "no longer knows from where to go on", "try again")


def test_connections_break(server: KubeServer, target: KubernetesTarget) -> None:
    server.fail(Close(), verb="list", times=3)
    assert target.all() == []
    server.fail(Close(), verb="list", times=9)
    refused(target.all, f"{server.url} is not reached: the connection broke off")


def test_an_answer_does_not_come(
    server: KubeServer, target: KubernetesTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "READ_S", 0.05)
    server.fail(Hang(60), verb="list")
    refused(target.all, "is not reached: there is no answer in time", "a VPN")
    assert len(server.calls("list")) == 1


def test_nobody_is_there(server: KubeServer, target: KubernetesTarget) -> None:
    server.stop()
    waited: list[float] = []
    target._api._sleep = waited.append
    refused(target.all, f"{server.url} is not reached: connection refused", "is the cluster up")
    assert sum(waited) < 5
    server.start()
    assert target.all() == []


def test_the_name_has_no_address(server: KubeServer, tmp_path: Path) -> None:
    def rename(config: Config) -> None:
        config["clusters"][0]["cluster"]["server"] = "http://cluster.invalid:6443"

    changed(server, tmp_path, rename)
    refused(target_of().all, "http://cluster.invalid:6443 is not reached: its name has no address")


@pytest.mark.parametrize("status", [200, 403, 404])
def test_something_else_answers(
    target: KubernetesTarget, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """A page for people, as proxies and portals give it."""
    import urllib3

    def answer(*call: object, **more: object) -> object:
        page = urllib3.HTTPResponse(b"<html>Log in</html>", status=status)
        page.getheaders = lambda: page.headers  # type: ignore[attr-defined]
        return RESTResponse(page)

    from kubernetes.client.rest import RESTResponse

    monkeypatch.setattr(target._api._reach.client.rest_client, "request", answer)
    refused(target.all, "does not answer as Kubernetes does", "A proxy may have answered")


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KubeServer(tls=True) as server:
        file = server.kubeconfig(tmp_path)
        monkeypatch.setenv("KUBECONFIG", str(file))
        assert target_of().all() == []

        def distrust(config: Config) -> None:
            del config["clusters"][0]["cluster"]["certificate-authority-data"]

        changed(server, tmp_path, distrust)
        refused(
            target_of().all,
            "is signed by nobody that the kubeconfig trusts",
            "`certificate-authority-data`",
        )

        def rename(config: Config) -> None:
            config["clusters"][0]["cluster"]["tls-server-name"] = "cluster.example"

        changed(server, tmp_path, rename)
        refused(target_of().all, "is for another name", "tls-server-name")
    with KubeServer() as plain:

        def encrypt(config: Config) -> None:
            url = plain.url.replace("http://", "https://")
            config["clusters"][0]["cluster"]["server"] = url

        changed(plain, tmp_path, encrypt)
        refused(target_of().all, "does not speak TLS")
