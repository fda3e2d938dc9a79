"""Waiting for room in a cluster: for other jobs to end, or for a lost node to be replaced."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trainwright.errors import Interrupted, RunError
from trainwright.job.models import ClusterSpec

SECONDS_UNTOLD = 3.0
"""Resources of a group that has just ended are free again within a second or so."""

SECONDS_BETWEEN_REMARKS = 300.0

SAMPLES = 5
"""Readings of what is free that are looked at together: Ray tries again and again to place the
group, and what it reserves meanwhile seems taken."""

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
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    share = resources_of(cluster)
    wish = placement_group([share] * workers, strategy="PACK")
    seen = deque[Mapping[str, float]](maxlen=SAMPLES)
    began, untold_s, limit = time.monotonic(), SECONDS_UNTOLD, cluster.room_timeout_s
    try:
        while not wish.wait(1):  # whole seconds, or it does not wait at all
            waited = time.monotonic() - began
            seen.append(ray.available_resources())
            missing = _missing(share, workers, seen)
            if limit is not None and waited > limit:
                raise RunError(
                    f"there was no room for {workers} workers within {limit:g} s "
                    f"(cluster.room_timeout_s): {missing}"
                )
            news = {"remark": f"waiting for {missing}"} if waited > untold_s else {}
            untold_s = waited + SECONDS_BETWEEN_REMARKS if news else untold_s
            if watch(news):
                raise Interrupted(
                    "stopped while waiting for room in the cluster. "
                    "The same command continues from the last checkpoint"
                )
    finally:
        remove_placement_group(wish)
    if untold_s > SECONDS_UNTOLD:
        watch({"remark": "there is room again"})


def _missing(share: Mapping[str, float], workers: int, seen: Iterable[Mapping[str, float]]) -> str:
    free = {kind: round(max(float(have.get(kind, 0.0)) for have in seen), 4) for kind in share}
    lacking = [
        f"{each * workers - free[kind]:g} more {kind}: {workers} workers need {each * workers:g}, "
        f"and {free[kind]:g} {'is' if free[kind] == 1 else 'are'} free"
        for kind, each in share.items()
        if each * workers > free[kind]
    ]
    each = " and ".join(f"{amount:g} {kind}" for kind, amount in share.items())
    return "; ".join(lacking) or f"a node with {each} free for each of {workers} workers"
