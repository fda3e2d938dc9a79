"""What a profile may contain."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from trainwright.job.plugin_spec import Section
from trainwright.secrets import is_secret_name
from trainwright.submission.profile.reserved import free_folder, free_variables
from trainwright.submission.profile.values import (
    Count,
    Cpus,
    EntryKey,
    Image,
    Label,
    LabelKey,
    LabelValue,
    MountPath,
    Name,
    PublicText,
    Quantity,
    Resource,
    Seconds,
    ShortName,
    Variable,
    Version,
)
from trainwright.submission.site import Site

OLDEST_RAY = (2, 53)
"""KubeRay wants 2.52 for tokens; from here on it asks Ray itself whether a pod is well."""


class Toleration(Section):
    """A taint of nodes on which pods may run all the same."""

    key: LabelKey | None = Field(None, description="of the taint; default: every key")
    operator: Literal["Exists", "Equal"] = Field("Exists", description="how the value is compared")
    value: LabelValue | None = Field(None, description="of the taint, for operator Equal")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="of the taint; default: every effect"
    )

    @field_validator("operator")
    @classmethod
    def _has_a_key(cls, value: str, info: ValidationInfo) -> str:
        if value == "Equal" and info.data.get("key", "") is None:
            raise ValueError("Equal compares the value of a key: give the key as well")
        return value

    @field_validator("value")
    @classmethod
    def _is_compared(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("operator") == "Exists":
            raise ValueError("Exists looks at no value: give operator Equal as well")
        return value


class SecretKey(Section):
    """One entry of a Secret."""

    secret: Name = Field(description="name of the Secret")
    key: EntryKey = Field(description="which of its entries")


class Volume(Section):
    """A volume that outlives pods, mounted into head and workers."""

    claim: Name = Field(description="name of the PersistentVolumeClaim; ReadWriteMany for workers")
    path: MountPath = Field(description="absolute path of the folder in the pods")
    read_only: bool = Field(False, description="for data that no job may change")

    @field_validator("path")
    @classmethod
    def _is_free(cls, value: str) -> str:
        return free_folder(value)


class Head(Section):
    """The pod that runs Ray's head and the driver of the job; it trains nothing itself.

    A job with ``cluster.workers: 0`` trains in it, and then it has the shape of a worker.
    """

    cpu: Cpus = Field(2, description="CPUs, reserved and not to be exceeded")
    memory: Quantity = Field("8Gi", description="memory, reserved and not to be exceeded")
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="labels of its node"
    )
    tolerations: list[Toleration] = Field(default_factory=list, description="taints it may ignore")


class Worker(Section):
    """A pod that holds training processes, as many as fit into it."""

    cpu: Cpus = Field(4, description="CPUs, reserved and not to be exceeded")
    memory: Quantity = Field("16Gi", description="memory, reserved and not to be exceeded")
    gpu: Count = Field(0, description="GPUs")
    gpu_resource: Resource = Field(
        "nvidia.com/gpu", description="what the device plugin calls a GPU"
    )
    replicas: Annotated[Count, Field(gt=0)] | None = Field(
        None, description="how many pods; default: as many as the job's workers need"
    )
    shared_memory: Quantity | None = Field(
        None, description="size of /dev/shm; default: as KubeRay sets it, by the memory"
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="labels of its node"
    )
    tolerations: list[Toleration] = Field(default_factory=list, description="taints it may ignore")


class Profile(Section):
    """How jobs run on a cluster of Kubernetes."""

    image: Image = Field(
        description="image of all pods, with its tag or digest; see k8s/Dockerfile"
    )
    ray_version: Version = Field("2.60.0", description="version of Ray in the image")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        "IfNotPresent", description="when a node pulls the image"
    )
    pull_secrets: list[Name] = Field(
        default_factory=list, description="Secrets with which nodes may pull the image"
    )
    namespace: Label = Field("trainwright", description="namespace of everything that is made")
    context: str | None = Field(
        None, description="context of the kubeconfig; default: its current one"
    )
    service_account: Name = Field(
        "trainwright", description="service account of the pods; see k8s/base"
    )
    head: Head = Field(default_factory=Head, description="the pod with the driver of the job")
    worker: Worker = Field(
        default_factory=Worker, description="each of the pods with training processes"
    )
    scratch: Quantity = Field("20Gi", description="disk of each pod for what need not be kept")
    cluster: Label | None = Field(
        None,
        description="name of a RayCluster that runs already; default: each job gets its own",
    )
    queue: ShortName | None = Field(
        None, description="LocalQueue of Kueue's in which jobs wait; default: none"
    )
    priority: ShortName | None = Field(
        None, description="PriorityClass of the pods; with a queue: its WorkloadPriorityClass"
    )
    storage: PublicText | None = Field(
        None, min_length=1, description="where runs are kept if a job names a folder of yours"
    )
    volumes: list[Volume] = Field(default_factory=list, description="what the pods see besides")
    tracking: PublicText | None = Field(
        None, min_length=1, description="MLflow tracking URI of jobs that name none"
    )
    environment: dict[Variable, PublicText] = Field(
        default_factory=dict, description="environment variables of head and workers; no secrets"
    )
    secrets: list[Name] = Field(
        default_factory=list,
        description="Secrets whose entries all become environment variables of head and workers",
    )
    secret_environment: dict[Variable, SecretKey] = Field(
        default_factory=dict, description="environment variables from single entries of Secrets"
    )
    retries: Count = Field(
        3,
        description="further attempts, each on a new cluster, when a job fails; on a running "
        "cluster there are none",
    )
    stop_seconds: Seconds = Field(
        120, description="how long a job that is stopped may take to write its last checkpoint"
    )
    pending_seconds: Seconds = Field(
        3600, description="a job that does not run after so long fails; in a queue, from its start"
    )
    deadline_seconds: Seconds | None = Field(
        604_800, description="a job that takes longer is ended; null: never"
    )
    keep_seconds: Count = Field(
        600, description="how long the pods of an ended job stay, for their logs"
    )
    annotate: bool = Field(
        True, description="the job writes its progress to the RayJob; needs the role of k8s/base"
    )

    @field_validator("ray_version")
    @classmethod
    def _is_new_enough(cls, value: str) -> str:
        if tuple(map(int, value.split(".")))[:2] < OLDEST_RAY:
            raise ValueError("must be at least {}.{}.0".format(*OLDEST_RAY))
        return value

    @field_validator("queue")
    @classmethod
    def _has_a_cluster_to_queue_for(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("cluster") is not None:
            raise ValueError("a job on a running cluster cannot wait in a queue: leave out one")
        return value

    @field_validator("volumes")
    @classmethod
    def _are_apart(cls, value: list[Volume]) -> list[Volume]:
        paths = [volume.path for volume in value]
        if len(set(paths)) < len(paths):
            raise ValueError("two volumes have the same path")
        return value

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if is_secret_name(name):
                raise ValueError(f"{name} is called like a secret: use secret_environment")
        return free_variables(value)

    @field_validator("secret_environment")
    @classmethod
    def _said_once(cls, value: dict[str, SecretKey], info: ValidationInfo) -> dict[str, SecretKey]:
        for name in sorted(value.keys() & info.data.get("environment", {}).keys()):
            raise ValueError(f"{name} stands under environment as well: leave out one")
        return free_variables(value)

    @property
    def site(self) -> Site:
        """What a job may rely on there."""
        return Site(
            mounts=tuple(volume.path for volume in self.volumes),
            read_only=tuple(volume.path for volume in self.volumes if volume.read_only),
            storage=self.storage,
            tracking=self.tracking,
            environment=dict(self.environment),
            # The entries of whole Secrets are not known here.
            secrets=None if self.secrets else frozenset(self.secret_environment),
        )
