"""What this machine and a Ray cluster have to give, and whether a job fits into it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from trainwright.errors import Problem
from trainwright.job.cluster_spec import Processes


def cpus_here() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ray_is_running_here() -> bool:
    """Whether this process is already part of a Ray cluster; does not import Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def gpus_here() -> int:
    """GPUs that this process may use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def does_not_fit_here(cluster: Processes) -> list[Problem]:
    """The arithmetic of a job that asks for more than this machine, where it would run, has."""
    if cluster.address == "local" and cluster.max_workers == 0:
        return does_not_fit(cluster, {"GPU": float(gpus_here())}, kinds=("GPU",))
    if cluster.address != "local" or ray_is_running_here():
        return []
    return does_not_fit(cluster, {"CPU": float(cpus_here()), "GPU": float(gpus_here())})


def does_not_fit(
    cluster: Processes, have: Mapping[str, float], kinds: tuple[str, ...] = ("CPU", "GPU")
) -> list[Problem]:
    """The arithmetic of a job that can never fit, for each kind of resource.

    Args:
        cluster: what the job asks for; training in this process counts as one worker, and of a
            range the fewest workers must fit.
        have: what there is in all: ``CPU`` and ``GPU``.
        kinds: which of them to look at.
    """
    shares = {"CPU": cluster.cpus_per_worker, "GPU": cluster.gpus_per_worker}
    return [
        _too_much(cluster, kind, shares[kind], total)
        for kind in kinds
        if max(cluster.min_workers, 1) * shares[kind]
        > (total := float(have.get(kind, 0.0))) + _ROUNDING
    ]


_ROUNDING = 1e-9


def _too_much(cluster: Processes, kind: str, share: float, total: float) -> Problem:
    """Blames the number of workers where one of them would fit, else what each is to have."""
    workers = max(cluster.min_workers, 1)
    key = f"cluster.{kind.lower()}s_per_worker"
    most = int(total / share + _ROUNDING)
    smaller = int(total / workers * 100) / 100
    mends = [f"use at most {most} cluster.workers"] if most else []
    mends += [f"set {key}: {smaller:g}" if smaller else f"join a cluster that has {kind}s"]
    return Problem(
        path="cluster.workers" if most else key,
        message=f"{workers} worker{'s' if workers > 1 else ''} x {share:g} {kind} = "
        f"{workers * share:g}, but there {'are' if total != 1 else 'is'} {total:g}",
        got=workers if most else share,
        mend=", or ".join(mends),
    )
