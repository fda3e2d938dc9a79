"""Waiting for room in a cluster: for other jobs to end, or for a lost node to be replaced."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from trainwright.job.models import ClusterSpec
from trainwright.orchestration.waiting import Watch, wait_while

SAMPLES = 5
"""Readings of what is free that are looked at together: Ray tries again and again to place the
group, and what it reserves meanwhile seems taken."""


def resources_of(cluster: ClusterSpec) -> dict[str, float]:
    """What one worker takes."""
    shares = {"CPU": cluster.cpus_per_worker, "GPU": cluster.gpus_per_worker}
    return {name: share for name, share in shares.items() if share > 0}


def wait_for_room(cluster: ClusterSpec, workers: int, watch: Watch) -> None:
    """Return as soon as there is room for a group of workers; raises what ``wait_while`` raises.

    The wish is made known to Ray, so that a cluster that can grow does.

    Args:
        cluster: says what a worker takes, and how long to wait.
        workers: how many there are to be.
        watch: told what is waited for.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    share = resources_of(cluster)
    wish = placement_group([share] * workers, strategy="PACK")
    seen = deque[Mapping[str, float]](maxlen=SAMPLES)

    def missing() -> str:
        if wish.wait(1):  # whole seconds, or it does not wait at all
            return ""
        seen.append(ray.available_resources())
        return _missing(share, workers, seen)

    try:
        wait_while(missing, cluster.room_timeout_s, watch)
    finally:
        remove_placement_group(wish)


def free_reserved(names: Iterable[str]) -> None:
    """Free what groups of workers had reserved, by Ray's names; nothing happens where it is free.

    Processes that still run there are ended.
    """
    from ray import PlacementGroupID
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    for name in names:
        remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(name)))


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
