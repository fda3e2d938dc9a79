"""Clusters that lack nothing, and what the doctor finds in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kube.server import KubeServer
from kube_targets import QUICK

from trainwright.doctor import Finding
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.examining import Examination
from trainwright.submission.kubernetes.examining.pod import Patience
from trainwright.submission.kubernetes.kubeconfig import reach
from trainwright.submission.parcel import JOB, ORDERS, Need, Orders, Parcel
from trainwright.submission.probe import Trial
from trainwright.submission.profile import Profile

CONTENT = b"""
name: small
data: {source: digits, batch_size: 64}
model: mlp
objective: cross_entropy
"""


@contextmanager
def fit_cluster(folder: Path) -> Iterator[KubeServer]:
    """An API server with all that the plainest profile needs, and a kubeconfig for it."""
    with KubeServer(token="s3cret-token-of-a-test") as running:
        running.kubeconfig(folder)
        put(running, "ServiceAccount", "trainwright")
        operator = {
            "containers": [{"name": "operator", "image": "quay.io/kuberay/operator:v1.7.0"}]
        }
        labels = {"app.kubernetes.io/name": "kuberay-operator"}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        put(running, "Pod", "op", "kuberay", labels=labels, spec=operator, status=ready)
        node(running, "a", cpu="16", memory="64Gi")
        yield running


def put(
    server: KubeServer,
    kind: str,
    name: str,
    namespace: str = "default",
    version: str = "v1",
    labels: dict[str, str] | None = None,
    **parts: Any,
) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
    server.store.put({"apiVersion": version, "kind": kind, "metadata": metadata, **parts})


def node(server: KubeServer, name: str, spec: Any = None, **allocatable: str) -> None:
    metadata = {"name": name, "labels": {"kind": name}}
    server.store.put(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": metadata,
            "spec": spec or {},
            "status": {"allocatable": allocatable},
        }
    )


def parcel(workers: int = 2, *overrides: str) -> Parcel:
    files = {JOB: CONTENT, ORDERS: Orders(overrides).to_bytes()}
    return Parcel("small", files, Need(workers, 1.0, 0.0))


def at_once(seconds: float) -> None:
    """Instead of waiting."""


def examined(trial: Trial | None = None, **changes: Any) -> dict[str, Finding]:
    """Findings by their name; whatever is not well has a mend."""
    profile = Profile.model_validate({"image": "tw:1", "namespace": "default", **changes})
    patience = Patience(start_s=60, trouble_s=0, look_s=0)
    examination = Examination(Api(reach(), at_once), profile, QUICK, at_once, patience)
    found = list(examination.findings(trial or Trial(probes=False)))
    for finding in found:
        assert bool(finding.mend) == (finding.state != "ok"), finding
    return {finding.name: finding for finding in found}


def state(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.state for name, finding in found.items() if finding.state != "ok"}
