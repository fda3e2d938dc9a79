"""Progress on the RayJob, written from inside a pod: by a fake API server and the real client."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube.faults import Close, Hang
from kube.server import KubeServer
from kubernetes.config import incluster_config

from trainwright.submission.inside import annotations as module
from trainwright.submission.inside.annotations import Annotations
from trainwright.submission.kubernetes.marks import PROGRESS, RUN

TOKEN = "a-token-of-the-pod"


class Pod:
    """What a process in a pod has: a token, and an API server that knows the RayJob."""

    def __init__(self, server: KubeServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.now = 0.0
        self.said: list[str] = []
        self.annotations = Annotations("team/job-0", self.said.append, lambda: self.now)
        config = yaml.safe_load(server.kubeconfig(folder).read_text())
        authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
        (folder / "ca.crt").write_bytes(base64.b64decode(authority))
        self.bear(TOKEN)
        server.store.put(
            {
                "apiVersion": "ray.io/v1",
                "kind": "RayJob",
                "metadata": {
                    "name": "job-0",
                    "namespace": "team",
                    "annotations": {"of/others": "stays"},
                },
            }
        )

    def bear(self, token: str) -> None:
        """Have another token from now on."""
        (self.folder / "token").write_text(token)

    def put(self, text: str, at_once: bool = False) -> None:
        self.annotations.put({PROGRESS: text, RUN: "digits-0"}, at_once)

    @property
    def written(self) -> dict[str, str]:
        found: dict[str, str] = self.server.store.get("rayjobs", "job-0", "team")["metadata"][
            "annotations"
        ]
        return found

    @property
    def patches(self) -> list[Any]:
        return [request.body for request in self.server.calls("patch")]


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    with KubeServer(token=TOKEN, tls=True) as server:
        host, _, port = server.url.removeprefix("https://").partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
        yield Pod(server, tmp_path)


def test_what_is_new_is_written_and_nothing_else(pod: Pod) -> None:
    pod.put("1")
    assert pod.written == {"of/others": "stays", PROGRESS: "1", RUN: "digits-0"}
    pod.put("1")
    pod.put("2")
    assert pod.written == {"of/others": "stays", PROGRESS: "2", RUN: "digits-0"}
    assert pod.patches[1:] == [{"metadata": {"annotations": {PROGRESS: "2"}}}]
    assert pod.said == []


@pytest.mark.parametrize(
    ("status", "why"), [(403, "may not patch RayJobs"), (404, "no such RayJob")]
)
def test_what_cannot_work_is_told_and_given_up(pod: Pod, status: int, why: str) -> None:
    pod.server.fail(status, verb="patch")
    for text in ("1", "2"):
        pod.put(text, at_once=True)
        pod.now += 1000
    (said,) = pod.said
    assert said.startswith("progress is not written to RayJob team/job-0: ")
    assert why in said
    assert len(pod.patches) == 1


@pytest.mark.parametrize(
    "fault", [409, 429, 500, Close(), Hang(5.0)], ids=["409", "429", "500", "closed", "slow"]
)
def test_what_may_pass_is_told_once_and_tried_again_seldom(
    pod: Pod, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", (1.0, 0.2 if isinstance(fault, Hang) else 10.0))
    pod.server.fail(fault, verb="patch", times=3)
    tried = []
    for second in range(100):
        pod.now = float(second)
        pod.put("1")
        if len(pod.patches) > len(tried):
            tried.append(second)
    assert tried == [0, 10, 30, 70]
    (said,) = pod.said
    assert said.endswith("; tried again now and then")
    assert TOKEN not in said
    assert pod.written[PROGRESS] == "1"


def test_the_last_word_does_not_wait(pod: Pod) -> None:
    pod.server.fail(500, verb="patch")
    pod.put("1")
    pod.put("2")
    pod.put("3", at_once=True)
    assert pod.written[PROGRESS] == "3"
    assert len(pod.patches) == 2


def test_a_token_that_was_replaced_is_read_anew(pod: Pod) -> None:
    pod.bear("an-old-one")
    pod.put("1")
    (said,) = pod.said
    assert "Unauthorized" in said
    pod.bear(TOKEN)
    pod.now = 10.0
    pod.put("2")
    assert pod.written[PROGRESS] == "2"


def test_outside_of_a_pod_it_is_told_and_given_up(pod: Pod) -> None:
    (pod.folder / "token").unlink()
    pod.put("1")
    pod.put("2", at_once=True)
    (said,) = pod.said
    assert "Service token file does not exist" in said
    assert pod.patches == []
