"""What a profile may contain."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from trainwright.job.plugin_spec import Section
from trainwright.secrets import is_secret_name
from trainwright.submission.site import Site

_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_IMAGE = r"^[^\s@:]+(:\d+)?[^\s@:]*(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})$"

Label = Annotated[str, Field(pattern=_LABEL)]
Name = Annotated[str, Field(pattern=_SUBDOMAIN)]
Variable = Annotated[str, Field(pattern=_VARIABLE)]
Quantity = Annotated[str, Field(pattern=r"^[1-9]\d*(\.\d+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)$")]
Cpus = Annotated[float, Field(gt=0)]
Seconds = Annotated[int, Field(gt=0)]


class Toleration(Section):
    """A taint of nodes on which pods may run all the same."""

    key: str | None = Field(None, description="of the taint; default: every key")
    operator: Literal["Exists", "Equal"] = Field("Exists", description="how the value is compared")
    value: str | None = Field(None, description="of the taint, for operator Equal")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="of the taint; default: every effect"
    )


class SecretKey(Section):
    """One entry of a Secret."""

    secret: Name = Field(description="name of the Secret")
    key: str = Field(min_length=1, description="which of its entries")


class Volume(Section):
    """A volume that outlives pods, mounted into head and workers."""

    claim: Name = Field(description="name of the PersistentVolumeClaim; ReadWriteMany for workers")
    path: str = Field(pattern=r"^/[^\s:]+$", description="absolute path of the folder in the pods")
    read_only: bool = Field(False, description="for data that no job may change")


class Head(Section):
    """The pod that runs Ray's head and the driver of the job; it trains nothing itself."""

    cpu: Cpus = Field(2, description="CPUs, reserved and not to be exceeded")
    memory: Quantity = Field("8Gi", description="memory, reserved and not to be exceeded")
    node_selector: dict[str, str] = Field(default_factory=dict, description="labels of its node")
    tolerations: list[Toleration] = Field(default_factory=list, description="taints it may ignore")


class Worker(Section):
    """A pod that holds training processes, as many as fit into it."""

    cpu: Cpus = Field(4, description="CPUs, reserved and not to be exceeded")
    memory: Quantity = Field("16Gi", description="memory, reserved and not to be exceeded")
    gpu: int = Field(0, ge=0, description="GPUs")
    gpu_resource: str = Field(
        "nvidia.com/gpu", min_length=1, description="what the device plugin calls a GPU"
    )
    replicas: Annotated[int, Field(gt=0)] | None = Field(
        None, description="how many pods; default: as many as the job's workers need"
    )
    shared_memory: Quantity | None = Field(
        None, description="size of /dev/shm; default: as KubeRay sets it, by the memory"
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="labels of its node")
    tolerations: list[Toleration] = Field(default_factory=list, description="taints it may ignore")


class Profile(Section):
    """How jobs run on a cluster of Kubernetes."""

    image: str = Field(
        pattern=_IMAGE, description="image of all pods, with its tag or digest; see k8s/Dockerfile"
    )
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
    head: Head = Field(default_factory=Head)
    worker: Worker = Field(default_factory=Worker)
    scratch: Quantity = Field("20Gi", description="disk of each pod for what need not be kept")
    cluster: Label | None = Field(
        None,
        description="name of a RayCluster that runs already; default: each job gets its own",
    )
    queue: Name | None = Field(
        None, description="LocalQueue of Kueue's in which jobs wait; default: none"
    )
    priority: Name | None = Field(
        None, description="PriorityClass of the pods; with a queue: its WorkloadPriorityClass"
    )
    storage: str | None = Field(
        None, min_length=1, description="where runs are kept if a job names a folder of yours"
    )
    volumes: list[Volume] = Field(default_factory=list, description="what the pods see besides")
    tracking: str | None = Field(
        None, min_length=1, description="MLflow tracking URI of jobs that name none"
    )
    environment: dict[Variable, str] = Field(
        default_factory=dict, description="environment variables of head and workers; no secrets"
    )
    secrets: list[Name] = Field(
        default_factory=list,
        description="Secrets whose entries all become environment variables of head and workers",
    )
    secret_environment: dict[Variable, SecretKey] = Field(
        default_factory=dict, description="environment variables from single entries of Secrets"
    )
    retries: int = Field(
        3, ge=0, description="further attempts, each on a new cluster, when a job fails"
    )
    pending_seconds: Seconds = Field(
        3600, description="a job that does not run after so long fails; in a queue, from its start"
    )
    deadline_seconds: Seconds | None = Field(
        604_800, description="a job that takes longer is ended; null: never"
    )
    keep_seconds: int = Field(
        600, ge=0, description="how long the pods of an ended job stay, for their logs"
    )
    annotate: bool = Field(
        True, description="the job writes its progress to the RayJob; needs the role of k8s/base"
    )

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if is_secret_name(name):
                raise ValueError(f"{name} is called like a secret: use secret_environment")
        return value

    @property
    def site(self) -> Site:
        """What a job may rely on there."""
        return Site(
            mounts=tuple(volume.path for volume in self.volumes),
            storage=self.storage,
            tracking=self.tracking,
            environment=dict(self.environment),
            # The entries of whole Secrets are not known here.
            secrets=None if self.secrets else frozenset(self.secret_environment),
        )
