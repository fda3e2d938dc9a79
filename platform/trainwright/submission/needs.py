"""The processes that a job of any kind asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainwright.job import Job
from trainwright.job.cluster_spec import PoolSpec, Processes
from trainwright.submission.parcel import Need
from trainwright.submission.parts import Part


def need_of(job: Job[Any], parts: Iterable[Part]) -> Need:
    """What a job asks for at most at one time.

    Runs of a comparison with workers of their own take turns; trials of a sweep go side by side.

    Args:
        job: the job.
        parts: the runs that it consists of.
    """
    own = max((part.job.spec.cluster for part in parts), key=_size)
    pool = job.spec.cluster
    if not isinstance(pool, PoolSpec):
        return _of(own, 1)
    if own.max_workers == 0:
        return Need(pool.workers, pool.cpus_per_worker, pool.gpus_per_worker)
    return _of(own, pool.workers if job.spec.kind == "sweep" else 1)


def _size(cluster: Processes) -> tuple[float, float]:
    count = cluster.max_workers
    return count * cluster.gpus_per_worker, count * cluster.cpus_per_worker


def _of(cluster: Processes, times: int | None) -> Need:
    workers = None if times is None else times * cluster.max_workers
    return Need(workers, cluster.cpus_per_worker, cluster.gpus_per_worker)
