"""What this machine and a Ray cluster have to give, and whether a job fits into it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from trainwright.errors import Problem
from trainwright.job.models import ClusterSpec


def cpus_here() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ray_is_running_here() -> bool:
    """Whether this process is already part of a Ray cluster; does not import Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def does_not_fit_here(cluster: ClusterSpec) -> list[Problem]:
    """The arithmetic of a job that asks a Ray of its own for more CPUs than the machine has."""
    if cluster.workers == 0 or cluster.address != "local" or ray_is_running_here():
        return []
    return does_not_fit(cluster, {"CPU": float(cpus_here())}, kinds=("CPU",))


def does_not_fit(
    cluster: ClusterSpec, have: Mapping[str, float], kinds: tuple[str, ...] = ("CPU", "GPU")
) -> list[Problem]:
    """The arithmetic of a job that can never fit, for each kind of resource.

    Args:
        cluster: what the job asks for.
        have: what there is in all: ``CPU`` and ``GPU``.
        kinds: which of them to look at.
    """
    per_worker = {"CPU": cluster.cpus_per_worker, "GPU": cluster.gpus_per_worker}
    problems = []
    for kind in kinds:
        need, total = cluster.workers * per_worker[kind], float(have.get(kind, 0.0))
        if need <= total + 1e-9:
            continue
        key = f"cluster.{kind.lower()}s_per_worker"
        share = int(total / cluster.workers * 100) / 100
        fits = f"set {key}: {share:g}" if total else f"join a cluster that has {kind}s"
        problems.append(
            Problem(
                path=key,
                message=f"{cluster.workers} workers x {per_worker[kind]:g} {kind} = {need:g}, "
                f"but there {'are' if total != 1 else 'is'} {total:g}",
                mend=f"{fits}, or use fewer cluster.workers",
            )
        )
    return problems
