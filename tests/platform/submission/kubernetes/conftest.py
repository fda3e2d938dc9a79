"""A target that speaks to an API server in this process, and does not wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from followers import Following
from kube.server import KubeServer
from kube_targets import target_of
from ray_operator import Operator

from trainwright.submission.kubernetes.target import KubernetesTarget
from trainwright.submission.parcel import JOB, ORDERS, Need, Parcel


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeServer]:
    with KubeServer(token="s3cret-token-of-a-test") as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path)))
        yield running


@pytest.fixture
def parcel() -> Parcel:
    files = {JOB: b"name: digits\n", ORDERS: b"{}\n", "losses.py": b"pi = 3\n"}
    return Parcel("digits", files, Need(1, 1, 0), run="digits-9f")


@pytest.fixture
def target(server: KubeServer) -> KubernetesTarget:
    return target_of()


@pytest.fixture
def name(target: KubernetesTarget, parcel: Parcel) -> str:
    return target.create(parcel.base, parcel).id


@pytest.fixture
def operator(server: KubeServer, name: str) -> Operator:
    return Operator(server, name)


@pytest.fixture
def following(target: KubernetesTarget, name: str) -> Iterator[Following]:
    follower = Following(target, name)
    yield follower
    follower.close()
