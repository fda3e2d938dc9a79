"""A Ray cluster of several nodes on this machine, whose nodes can be killed and replaced."""

from __future__ import annotations

import contextlib
from typing import Any

import psutil


class Nodes:
    """A head without CPUs and some nodes of one CPU each, on loopback.

    Nodes are added by the thread that made the cluster: Ray sets signal handlers.

    Args:
        count: nodes besides the head.
    """

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        noticing = {
            "health_check_initial_delay_ms": 1000,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 5,
            "health_check_timeout_ms": 1000,
        }
        self.cluster: Any = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": False,
                "_system_config": noticing,
            },
        )
        self.nodes: list[Any] = []
        for _ in range(count):
            self.add()

    @property
    def address(self) -> str:
        """For ``cluster.address``."""
        return str(self.cluster.address)

    def add(self) -> None:
        """Start one more node."""
        self.nodes.append(self.cluster.add_node(num_cpus=1))

    def index_of(self, pid: int) -> int | None:
        """Which node a process belongs to; None for none of them."""
        with contextlib.suppress(psutil.NoSuchProcess):
            above = {parent.pid for parent in psutil.Process(pid).parents()}
            for index, node in enumerate(self.nodes):
                if above & _pids(node):
                    return index
        return None

    def kill(self, index: int) -> int:
        """SIGKILL to everything on a node at once, as when a machine loses power.

        Returns:
            The number of processes that were killed.
        """
        node = self.nodes.pop(index)
        roots = [psutil.Process(pid) for pid in _pids(node)]
        processes = [p for root in roots for p in [root, *root.children(recursive=True)]]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.cluster.remove_node(node, allow_graceful=False)
        return len(processes)

    def stop(self) -> None:
        """End the cluster."""
        self.cluster.shutdown()


def _pids(node: Any) -> set[int]:
    return {
        info.process.pid
        for infos in node.all_processes.values()
        for info in infos
        if info.process.poll() is None
    }
