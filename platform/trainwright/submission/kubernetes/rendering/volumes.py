"""What the pods mount: room to write on a read-only image, volumes that stay, a token."""

from __future__ import annotations

from dataclasses import dataclass

from trainwright.submission.kubernetes.rendering.extras import Manifest, entry_of
from trainwright.submission.parcel import Parcel
from trainwright.submission.profile import Profile

PARCEL_FOLDER = "/submission"
"""Where the submitter finds the parcel."""

HOME = "/home/trainwright"
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_TOKEN_SECONDS = 3600
_HOME_SIZE = "1Gi"
_SUBMITTER_SIZE = "1Gi"


@dataclass(frozen=True)
class Mounted:
    """A volume of a pod, and where its container finds it.

    Attributes:
        volume: as an entry of ``volumes``.
        path: absolute path in the container.
        read_only: whether the container may not write there.
    """

    volume: Manifest
    path: str
    read_only: bool = False

    @property
    def mount(self) -> Manifest:
        """As an entry of ``volumeMounts``."""
        place = {"name": self.volume["name"], "mountPath": self.path}
        return {**place, "readOnly": True} if self.read_only else place


def of_ray(profile: Profile) -> list[Mounted]:
    """What head and workers mount alike."""
    kept = [
        Mounted(
            {
                "name": f"volume-{number}",
                "persistentVolumeClaim": {
                    "claimName": volume.claim,
                    **({"readOnly": True} if volume.read_only else {}),
                },
            },
            volume.path,
            volume.read_only,
        )
        for number, volume in enumerate(profile.volumes)
    ]
    return [*_room(profile.scratch), *kept]


def shared_memory(profile: Profile) -> list[Mounted]:
    """Memory that processes of a pod that trains share; KubeRay mounts it if a profile does not."""
    size = profile.worker.shared_memory
    if size is None:
        return []
    volume = {"name": "shared-mem", "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    return [Mounted(volume, "/dev/shm")]  # noqa: S108 - of a pod of its own


def token() -> Mounted:
    """A token of the pod's service account, where clients of Kubernetes look for it."""
    sources: list[Manifest] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {
            "downwardAPI": {
                "items": [
                    {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
                ]
            }
        },
    ]
    return Mounted({"name": "token", "projected": {"sources": sources}}, TOKEN_FOLDER, True)


def of_submitter(submission: str, parcel: Parcel) -> list[Mounted]:
    """The parcel, file by file, and a little room to write."""
    items = [{"key": entry_of(path), "path": path} for path in sorted(parcel.files)]
    volume = {"name": "parcel", "configMap": {"name": submission, "items": items}}
    return [Mounted(volume, PARCEL_FOLDER, True), *_room(_SUBMITTER_SIZE)]


def _room(scratch: str) -> list[Mounted]:
    return [
        Mounted({"name": "scratch", "emptyDir": {"sizeLimit": scratch}}, "/tmp"),  # noqa: S108
        Mounted({"name": "home", "emptyDir": {"sizeLimit": _HOME_SIZE}}, HOME),
    ]
