"""Waiting for room in a cluster: for other jobs to end, or for a lost node to be replaced."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.errors import Interrupted, RunError
from trainwright.job.models import ClusterSpec

SECONDS_UNTOLD = 3.0
"""Resources of a group that has just ended are free again within a second or so."""

Watch = Callable[[Mapping[str, Any]], bool]
"""Called a few times a second with the newest progress; True asks training to stop."""


def resources_of(cluster: ClusterSpec) -> dict[str, float]:
    """What one worker takes."""
    shares = {"CPU": cluster.cpus_per_worker, "GPU": cluster.gpus_per_worker}
    return {name: share for name, share in shares.items() if share > 0}


def wait_for_room(cluster: ClusterSpec, workers: int, watch: Watch) -> None:
    """Return as soon as there is room for a group of workers.

    The wish is made known to Ray, so that a cluster that can grow does.

    Args:
        cluster: says what a worker takes, and how long to wait.
        workers: how many there are to be.
        watch: told what is waited for.

    Raises:
        RunError: there was no room in time.
        Interrupted: it was asked to stop meanwhile.
    """
    from ray.util.placement_group import placement_group, remove_placement_group

    share = resources_of(cluster)
    wish = placement_group([share] * workers, strategy="PACK")
    began, told = time.monotonic(), ""
    try:
        while not wish.wait(0.2):
            waited = time.monotonic() - began
            missing = _missing(share, workers)
            limit = cluster.room_timeout_s
            if limit is not None and waited > limit:
                raise RunError(
                    f"there was no room for {workers} workers within {limit:g} s "
                    f"(cluster.room_timeout_s): {missing}"
                )
            remark = f"waiting for {missing}" if waited > SECONDS_UNTOLD else ""
            if watch({"remark": remark} if remark and remark != told else {}):
                raise Interrupted(
                    "stopped while waiting for room in the cluster. "
                    "The same command continues from the last checkpoint"
                )
            told = remark or told
    finally:
        remove_placement_group(wish)
    if told:
        watch({"remark": "there is room again"})


def _missing(share: Mapping[str, float], workers: int) -> str:
    import ray

    free = ray.available_resources()
    lacking = [
        f"{need - have:g} more {kind}: {workers} workers need {need:g}, {have:g} are free"
        for kind, each in share.items()
        if (need := each * workers) > (have := round(float(free.get(kind, 0.0)), 4))
    ]
    each = " and ".join(f"{amount:g} {kind}" for kind, amount in share.items())
    return "; ".join(lacking) or f"a node with {each} free for each of {workers} workers"
