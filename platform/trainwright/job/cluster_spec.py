"""The ``cluster`` section of a job: where its processes run, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from trainwright.job.plugin_spec import Section

PositiveInt = Annotated[int, Field(gt=0)]


def _one_or_two(value: Any) -> str:
    return "two" if isinstance(value, (list, tuple)) else "one"


Workers = Annotated[
    Annotated[int, Field(ge=0), Tag("one")]
    | Annotated[list[PositiveInt], Field(min_length=2, max_length=2), Tag("two")],
    Discriminator(_one_or_two),
]


class Processes(Section):
    """Processes on Ray, and which share of a machine each of them has."""

    address: str = Field(
        "local",
        pattern=r"^(local|auto|(ray://)?[^:\s]+:\d+)$",
        description="local: a Ray of this run's own; auto: the running one; or host:port, with "
        "RAY_AUTH_TOKEN in the environment where it asks for a token",
    )
    workers: Workers = Field(
        1,
        description="training processes; 0 trains in this process without Ray; [1, 4]: as many of "
        "them as the cluster has room for, fewer after a loss and more when there is room again",
    )
    cpus_per_worker: Annotated[float, Field(gt=0)] = Field(
        1.0, description="CPU share reserved per worker; fractions allowed"
    )
    gpus_per_worker: Annotated[float, Field(ge=0)] = Field(
        0.0, description="GPUs per worker; above 0 training runs on CUDA"
    )

    @property
    def min_workers(self) -> int:
        """The fewest workers that will do."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def max_workers(self) -> int:
        """The most workers that are used; 0 without Ray."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @property
    def numbers_of_workers(self) -> range:
        """Every number of workers that there may be: a rule on the number holds for each."""
        return range(self.min_workers, self.max_workers + 1)

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers may change while training goes on."""
        return self.min_workers < self.max_workers


class ClusterSpec(Processes):
    """Where the workers run."""

    max_failures: int = Field(
        2,
        ge=0,
        description="how many times lost workers are restarted from the last checkpoint without "
        "getting beyond it; each new checkpoint starts the count anew",
    )
    max_node_failures: int = Field(
        8,
        ge=0,
        description="the same for workers that were lost with their node, or had to leave it, "
        "which are not counted by max_failures",
    )
    room_timeout_s: Annotated[float, Field(gt=0)] | None = Field(
        1800.0,
        description="how long to wait for room in the cluster, at the start and after a node was "
        "lost, or for a storage that is away then; null: for ever",
    )
    hang_timeout_s: Annotated[float, Field(gt=0)] | None = Field(
        1800.0,
        description="a worker that begins no update for so long is ended, after telling where it "
        "stands, and restarted as a lost one; null: never",
    )
    resize_after_s: Annotated[float, Field(ge=0)] | None = Field(
        30.0,
        description="with a range of workers: training goes on with more of them once there has "
        "been room for so long, if it takes at least as long still; null: never with more",
    )


class PoolSpec(Section):
    """Processes that train runs of a comparison or a sweep, each one run after another."""

    address: str = Field(
        "local",
        pattern=r"^(local|auto|(ray://)?[^:\s]+:\d+)$",
        description="local: a Ray of this job's own; auto: the running one; or host:port",
    )
    workers: int | None = Field(
        None,
        ge=0,
        description="processes that train side by side; 0: all in this process without Ray; "
        "default: one for each CPU, as far as there are runs",
    )
    cpus_per_worker: Annotated[float, Field(gt=0)] = Field(
        1.0, description="CPU share reserved per process; fractions allowed"
    )
    gpus_per_worker: Annotated[float, Field(ge=0)] = Field(
        0.0, description="GPUs per process, fractions allowed; above 0 training runs on CUDA"
    )
    max_failures: int = Field(
        2, ge=0, description="how many lost processes are replaced; their runs go on"
    )

    def as_cluster(self) -> ClusterSpec:
        """The pool in the terms of a training job's cluster: at least one process."""
        return ClusterSpec(
            address=self.address,
            workers=1 if self.workers is None else self.workers,
            cpus_per_worker=self.cpus_per_worker,
            gpus_per_worker=self.gpus_per_worker,
        )

    def cluster_of(self, own: Any) -> Any:
        """The ``cluster`` section of a run: in one process, unless it asks for workers of its own.

        Args:
            own: the section as the run's job has it; returned as it is where it is no section.
        """
        if own is not None and not isinstance(own, Mapping):
            return own
        cluster = {"workers": 0, **(own or {}), "address": self.address}
        if cluster["workers"] == 0:
            cluster["gpus_per_worker"] = self.gpus_per_worker
        return cluster
