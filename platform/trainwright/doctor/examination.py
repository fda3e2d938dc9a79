"""All checks in the order in which they are told."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainwright.doctor.cluster import check_cluster
from trainwright.doctor.finding import Finding
from trainwright.doctor.machine import (
    check_gpus,
    check_memory,
    check_network,
    check_open_files,
    check_processors,
)
from trainwright.doctor.places import check_disk, check_storage, check_tracking
from trainwright.doctor.software import (
    check_compilers,
    check_deepspeed,
    check_libraries,
    check_plugins,
    check_python,
)
from trainwright.job.models import ClusterSpec
from trainwright.tracking import default_uri

if TYPE_CHECKING:
    from trainwright.job.cluster_spec import PoolSpec
    from trainwright.job.models import TrainJob
    from trainwright.storage import Folder


@dataclass(frozen=True)
class Subject:
    """What is to be possible on this machine.

    Attributes:
        storage: where runs would be kept.
        job: the job that would run; None for jobs in general.
    """

    storage: Folder
    job: TrainJob | None = None

    @property
    def cluster(self) -> ClusterSpec | None:
        """Where the job would run; None for jobs in general."""
        if self.job is None:
            return None
        cluster: ClusterSpec | PoolSpec = self.job.cluster
        return cluster if isinstance(cluster, ClusterSpec) else cluster.as_cluster()


def examine(subject: Subject) -> Generator[Finding, None, None]:
    """Check one thing after the other.

    Ray is started only when the libraries are there, and not for a job that trains in process.
    """
    job, cluster = subject.job, subject.cluster
    yield check_python()
    missing = False
    for finding in check_libraries():
        missing = missing or finding.state == "stop"
        yield finding
    yield check_processors(cluster)
    yield check_memory()
    yield check_disk(subject.storage)
    yield check_storage(subject.storage)
    yield check_open_files()
    yield from check_network()
    yield check_compilers(job)
    yield from _tracking(subject)
    if missing:
        return
    yield check_gpus(cluster)
    yield from check_plugins()
    if cluster is None or cluster.max_workers > 0:
        yield check_deepspeed()
        yield from check_cluster(cluster.address if cluster is not None else "local")


def _tracking(subject: Subject) -> Iterator[Finding]:
    if subject.job is not None and not subject.job.tracking.enabled:
        yield Finding("mlflow server", "ok", "not used: tracking.enabled is false")
        return
    uri = subject.job.tracking.uri if subject.job is not None else None
    yield check_tracking(uri or default_uri(subject.storage))
