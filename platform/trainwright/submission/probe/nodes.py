"""Every node of a Ray cluster, looked at by a task of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from trainwright.doctor.finding import Finding
from trainwright.job.cluster_spec import Processes
from trainwright.orchestration.machine import does_not_fit
from trainwright.orchestration.on_ray import connect
from trainwright.overview import open_storage
from trainwright.storage import Folder
from trainwright.submission.probe.job import of_problems
from trainwright.submission.probe.telling import IMAGE

TIMEOUT_S = 60.0
_MOST_NODES = 64
_MOST_NAMED = 3

Node = dict[str, Any]
"""A node as Ray lists it."""

Trouble = tuple[str, str]
"""What is wrong with a node, and what to do."""


def check_nodes(cluster: Processes | None, storage: str | None) -> Iterator[Finding]:
    """Join the cluster; count what it has, and look at each of its nodes.

    Args:
        cluster: what a job asks for; None for jobs in general.
        storage: URL where runs are kept, which every node must see.

    Raises:
        RunError: the cluster cannot be joined.
    """
    from trainwright.job.models import ClusterSpec

    connect(ClusterSpec(address="auto"))
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    have = ray.cluster_resources()
    says = f"{_counted(len(nodes), 'node')}: {have.get('CPU', 0):g} CPU, {have.get('GPU', 0):g} GPU"
    yield Finding("ray cluster", "ok", says)
    if cluster is not None:
        yield from check_room(cluster, have, ray.available_resources())
    yield from _look_at_each(nodes[:_MOST_NODES], open_storage(storage) if storage else None)
    ray.shutdown()


def check_room(
    cluster: Processes, have: dict[str, float], free: dict[str, float]
) -> Iterator[Finding]:
    """Whether the workers of a job fit into the cluster, and at once.

    Args:
        cluster: what the job asks for.
        have: ``CPU`` and ``GPU`` of all nodes.
        free: those that nobody uses now.
    """
    if problems := does_not_fit(cluster, have):
        yield from of_problems("room", problems)
    elif does_not_fit(cluster, free):
        says = f"the workers fit, but only {free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} "
        mend = "the job waits until others end (cluster.room_timeout_s), or use fewer workers"
        yield Finding("room", "note", f"{says}GPU are free now", mend)
    else:
        yield Finding("room", "ok", f"for {_counted(max(cluster.min_workers, 1), 'worker')}")


def _look_at_each(nodes: Sequence[Node], storage: Folder | None) -> Iterator[Finding]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = f".doctor-{uuid.uuid4().hex}"
    if storage is not None:
        storage.write_bytes(name, b"a trial by trainwright doctor\n")
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(_look)
        asked = {
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(storage.url if storage is not None else None, name): node
            for node in nodes
        }
        done, late = ray.wait(list(asked), num_returns=len(asked), timeout=TIMEOUT_S)
        found = [(asked[ref], _trouble_of(ref, asked[ref])) for ref in done]
        found += [(asked[ref], _silent()) for ref in late]
    finally:
        if storage is not None:
            storage.remove(name)
    yield from summed_up(found)


def _look(storage: str | None, name: str) -> dict[str, Any]:
    """What one node finds; runs there."""
    from importlib.metadata import version

    # Ray hides the GPUs from a task that asks for none.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    import torch

    missing = ""
    if storage is not None:
        try:
            Folder(storage).read_bytes(name)
        except Exception as error:  # whatever the store's client raises
            missing = f"{type(error).__name__}: {error}"
    return {
        "version": version("trainwright"),
        "gpus": torch.cuda.device_count(),
        "missing": missing,
    }


def _trouble_of(ref: Any, node: Node) -> Trouble | None:
    import ray

    try:
        found = ray.get(ref)
    except Exception as error:  # whatever happened to the task
        text = str(error).strip().splitlines()
        return f"a task cannot run there: {text[-1] if text else type(error).__name__}", IMAGE
    return judged(found, node)


def judged(found: dict[str, Any], node: Node) -> Trouble | None:
    """What is wrong with a node, and what to do; None where nothing is.

    Args:
        found: what ``_look`` saw there.
        node: the node as Ray lists it.
    """
    from importlib.metadata import version

    if found["missing"]:
        mend = "use a folder that all nodes share, or an object store: -s storage=s3://BUCKET/DIR"
        return f"does not see what another node wrote to the storage ({found['missing']})", mend
    if found["version"] != (here := version("trainwright")):
        return f"has trainwright {found['version']}, the head {here}", "install the same one"
    gpus = int(node["Resources"].get("GPU", 0))
    if found["gpus"] < gpus:
        mend = "install a CUDA build of torch there, with a driver that is new enough for it"
        return f"is to have {gpus} GPU, but torch sees {found['gpus']}", mend
    return None


def _silent() -> Trouble:
    mend = "see `ray status`; a node without memory or with a broken network answers so"
    return f"no answer within {TIMEOUT_S:.0f} s", mend


def summed_up(found: Sequence[tuple[Node, Trouble | None]]) -> Iterator[Finding]:
    """One finding for each trouble, however many nodes have it."""
    well = sum(trouble is None for _, trouble in found)
    if well:
        says = f"{_counted(well, 'node')} of {len(found)} ran a task and found nothing wrong"
        yield Finding("nodes", "ok", says)
    for trouble in dict.fromkeys(trouble for _, trouble in found if trouble is not None):
        names = [str(node["NodeManagerAddress"]) for node, other in found if other == trouble]
        shown = ", ".join(names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        yield Finding("nodes", "stop", f"{shown}{more}: {trouble[0]}", trouble[1])


def _counted(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number} {word}s"
