"""What can be wrong with a kubeconfig: one line each, and what to do."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from kube.server import KubeServer
from kube_targets import Config, changed, refused, target_of

from trainwright.submission.kubernetes.target import KubernetesTarget


def test_there_is_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    refused(target_of().all, f"there is no kubeconfig at {tmp_path}/none", "point $KUBECONFIG")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    refused(target_of().all, "this pod has no access to its cluster", "service account")
    refused(target_of(context="x").all, "there is no kubeconfig")


def test_the_context_does_not_exist(server: KubeServer, tmp_path: Path) -> None:
    problem = refused(target_of(context="tset").all, "there is no such context", "allowed: test")
    assert (problem.path, problem.nearest) == ("--context", "test")

    def forget(config: Config) -> None:
        del config["current-context"]

    changed(server, tmp_path, forget)
    refused(
        target_of().all, "has no current context", "allowed: test", "kubectl config use-context"
    )
    assert target_of(context="test").all() == []


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "yaml": ("a: [1\nb: 2\n", "kubeconfig:2 is no YAML"),
    "list": ("- a\n", "is no kubeconfig"),
    "empty": ("", "is no kubeconfig"),
    "binary": (b"\xff\xfe\x00", "kubeconfig"),
    "no cluster": (
        "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]\n",
        "clusters",
    ),
    "no contexts": ("current-context: a\n", "there is no such context"),
    "odd": ("current-context: a\ncontexts: {a: 1}\nclusters: 3\n", "there is no such context"),
    "no server": (
        "current-context: a\ncontexts: [{name: a, context: {cluster: b}}]\n"
        "clusters: [{name: b, cluster: {}}]\n",
        "has no server",
    ),
    "no file": (
        "current-context: a\ncontexts: [{name: a, context: {cluster: b}}]\nclusters: "
        "[{name: b, cluster: {server: 'https://x', certificate-authority: /nowhere/ca}}]\n",
        "/nowhere/ca",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_kubeconfig_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    content, told = BROKEN[what]
    file = tmp_path / "kubeconfig"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("KUBECONFIG", str(file))
    refused(target_of().all, told)


def test_several_kubeconfigs(
    server: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_text("current-context: gone\ncontexts: []\n")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/kubeconfig:{tmp_path}/none:{other}")
    assert target_of(context="test").all() == []


def with_command(server: KubeServer, folder: Path, script: str) -> None:
    """Credentials by a command, as clouds give them."""
    command = folder / "credentials"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    version = "client.authentication.k8s.io/v1"
    arguments = ["get-token", "--cluster", "c", "--oidc-client-secret=hidden-secret"]

    def ask(config: Config) -> None:
        section = {"command": str(command), "args": arguments, "apiVersion": version}
        config["users"][0]["user"] = {"exec": section}

    changed(server, folder, ask)


def test_a_command_gives_the_credentials(server: KubeServer, tmp_path: Path) -> None:
    answer = (
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        '"status": {"token": "%s"}}\''
    )
    with_command(server, tmp_path, answer % "s3cret-token-of-a-test")
    assert target_of().all() == []
    with_command(server, tmp_path, answer % "expired")
    problem = refused(target_of().all, "does not accept", "credentials get-token --cluster c")
    assert "hidden-secret" not in str(problem)
    with_command(server, tmp_path, "echo 'the session has expired' >&2; exit 1")
    problem = refused(
        target_of().all,
        "gives no credentials: exec: process returned 1. the session has expired",
        "by hand; it may ask you to log in again",
    )
    assert "hidden-secret" not in str(problem)
    with_command(server, tmp_path, "echo {}")
    refused(target_of().all, "gives no credentials", "missing key")


def test_nothing_of_it_is_shared(server: KubeServer, target: KubernetesTarget) -> None:
    from kubernetes.client import Configuration

    before = Configuration.get_default_copy().host
    target.all()
    assert Configuration.get_default_copy().host == before != server.url


def test_the_extra_is_not_installed(
    target: KubernetesTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kubernetes.client", None)
    refused(target.all, "needs a package that is not installed", "'trainwright[submit]'")


def test_client_certificates_reach_the_client(server: KubeServer, tmp_path: Path) -> None:
    """What a kubeconfig says is taken as kubectl takes it: certificates from data."""
    from trainwright.submission.kubernetes.kubeconfig import reach

    def certify(config: Config) -> None:
        config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
        data = base64.b64encode(b"a certificate").decode()
        config["users"][0]["user"] = {"client-certificate-data": data, "client-key-data": data}

    changed(server, tmp_path, certify)
    configuration = reach().client.configuration
    assert Path(configuration.cert_file).read_bytes() == b"a certificate"
    assert configuration.retries is False
