"""What a profile cannot change, for pods would not start or not find one another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TypeVar

from trainwright.submission.kubernetes.marks import RAYJOB
from trainwright.submission.parcel import SUBMISSION

VARIABLES = frozenset(
    {
        "FQ_RAY_IP",
        "HOME",
        "KUBERAY_GEN_RAY_START_CMD",
        "PATH",
        "RAY_ADDRESS",
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN",
        "RAY_CLOUD_INSTANCE_ID",
        "RAY_CLUSTER_NAME",
        "RAY_CLUSTER_NAMESPACE",
        "RAY_DASHBOARD_ADDRESS",
        "RAY_ENABLE_K8S_TOKEN_AUTH",
        "RAY_IP",
        "RAY_JOB_STOP_WAIT_TIME_S",
        "RAY_JOB_SUBMISSION_ID",
        "RAY_NODE_TYPE_NAME",
        "RAY_PORT",
        "RAY_REDIS_ADDRESS",
        "RAY_TMPDIR",
        "RAY_USAGE_STATS_EXTRA_TAGS",
        "RAY_enable_autoscaler_v2",
        "RAY_external_storage_namespace",
        "RAY_gcs_storage",
        "RAY_gcs_storage_path",
        "REDIS_PASSWORD",
        "REDIS_USERNAME",
        RAYJOB,
        SUBMISSION,
    }
)
"""Variables that the image, KubeRay or a submission sets, or that KubeRay does not allow."""

FOLDERS = (
    "/dev",
    "/etc",
    "/home/trainwright",
    "/opt/venv",
    "/proc",
    "/submission",
    "/sys",
    "/tmp",  # noqa: S108 - a folder in a pod of its own
    "/usr",
    "/var/run",
)
"""Folders of the pods that no volume may hide."""

_Values = TypeVar("_Values", bound=Mapping[str, object])


def free_variables(variables: _Values) -> _Values:
    """Environment variables, none of which is reserved.

    Raises:
        ValueError: one is.
    """
    for name in variables:
        if name in VARIABLES:
            raise ValueError(f"{name} is set by Ray, KubeRay or the image, and cannot be changed")
    return variables


def free_folder(path: str) -> str:
    """A folder of the pods in which something can be mounted.

    Raises:
        ValueError: it would hide one that is needed, or lie in one.
    """
    wanted = PurePosixPath(path)
    for folder in FOLDERS:
        if wanted.is_relative_to(folder) or PurePosixPath(folder).is_relative_to(wanted):
            raise ValueError(f"{folder} is needed as it is: choose a folder such as /data")
    return path
