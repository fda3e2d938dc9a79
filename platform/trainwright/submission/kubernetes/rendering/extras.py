"""What a RayJob needs beside it: the parcel as a ConfigMap, and who may reach its pods."""

from __future__ import annotations

import base64
import re
from typing import Any

from trainwright.submission.kubernetes import marks
from trainwright.submission.parcel import Parcel
from trainwright.submission.profile import Profile

Manifest = dict[str, Any]
"""An object of Kubernetes as plain values."""

OPERATOR = {"app.kubernetes.io/component": "kuberay-operator"}
"""Label of KubeRay's operator, as its chart gives it."""

DASHBOARD_PORT = 8265
"""Where a Ray head serves its Jobs API."""

_OUTSIDE = re.compile(r"[^A-Za-z0-9_.]")


def labels(submission: str) -> dict[str, str]:
    """What every object and every pod of a submission has."""
    return {
        marks.NAME: marks.OURS,
        marks.MANAGED_BY: marks.OURS,
        marks.SUBMISSION: submission,
    }


def metadata(submission: str, profile: Profile) -> Manifest:
    """Name, namespace and labels of an object of a submission."""
    return {"name": submission, "namespace": profile.namespace, "labels": labels(submission)}


def parcel_map(submission: str, parcel: Parcel, profile: Profile) -> Manifest:
    """The files of a parcel, readable as far as they are text."""
    data: dict[str, str] = {}
    binary: dict[str, str] = {}
    for path, content in sorted(parcel.files.items()):
        try:
            data[entry_of(path)] = content.decode()
        except UnicodeDecodeError:
            binary[entry_of(path)] = base64.b64encode(content).decode()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(submission, profile),
        "immutable": True,
        "data": data,
        **({"binaryData": binary} if binary else {}),
    }


def entry_of(path: str) -> str:
    """The entry of a ConfigMap that holds a file; another one for every path.

    Example:
        >>> entry_of("job.yaml"), entry_of("losses/focal.py")
        ('job.yaml', 'losses--focal.py')
    """

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        if character == "/":
            return "--"
        return "".join(f"-{byte:02x}" for byte in character.encode())

    return _OUTSIDE.sub(escaped, path)


def network_policy(submission: str, profile: Profile) -> Manifest:
    """Lets the pods of a submission reach one another, and the operator the Jobs API.

    Whoever reaches a Ray cluster can run code in it. What the pods themselves may reach is left
    open, for it depends on where data, runs and MLflow are.
    """
    own = {"matchLabels": {marks.SUBMISSION: submission}}
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": dict(OPERATOR)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(submission, profile),
        "spec": {
            "podSelector": own,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": {marks.SUBMISSION: submission}}}]},
                {"from": [operator], "ports": [{"protocol": "TCP", "port": DASHBOARD_PORT}]},
            ],
        },
    }
