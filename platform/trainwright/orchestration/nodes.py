"""The machines of a Ray cluster: which are gone, and which are about to go."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SECONDS_TO_NOTICE = 60.0
SECONDS_TO_ANSWER = 1.0


def dead_nodes() -> set[str]:
    """Ray's names of the nodes that are known to be dead."""
    import ray

    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}


def draining_nodes() -> set[str]:
    """Ray's names of the nodes that somebody has announced to take away."""
    import ray

    # Ray has no public call for it; its own preemption watcher uses this one, in newer versions.
    ask = getattr(ray._private.state.state, "get_draining_nodes", dict)
    return set(ask())


def wait_until_noticed(
    nodes: Callable[[], Sequence[Mapping[str, Any]]] | None = None,
    timeout_s: float = SECONDS_TO_NOTICE,
) -> list[str]:
    """Wait until the cluster has noticed the death of every node that does not answer.

    Ray counts a node as alive until its health check has failed several times, and would place
    workers there, which then wait for their start in vain.

    Args:
        nodes: gives what ``ray.nodes`` gives.
        timeout_s: how long at most.

    Returns:
        Addresses of the nodes that do not answer and are said to be alive even so.
    """
    if nodes is None:
        import ray

        nodes = ray.nodes
    deadline = time.monotonic() + timeout_s
    while silent := _silent(nodes()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return silent


def _silent(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    alive = [node for node in nodes if node["Alive"]]
    if not alive:
        return []
    with ThreadPoolExecutor(min(len(alive), 32)) as pool:
        answers = list(pool.map(_answers, alive))
    return [str(n["NodeManagerAddress"]) for n, a in zip(alive, answers, strict=True) if not a]


def _answers(node: Mapping[str, Any]) -> bool:
    address = str(node["NodeManagerAddress"]), int(node["NodeManagerPort"])
    try:
        socket.create_connection(address, SECONDS_TO_ANSWER).close()
    except OSError:
        return False
    return True
