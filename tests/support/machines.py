"""A Ray cluster of several nodes on this machine, which can be killed one by one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import psutil
from driving import end_all, living

NOTICING = {
    "health_check_initial_delay_ms": 5000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 5,
}
"""So that a dead node is noticed within seconds, as the README advises."""


class Machines:
    """A Ray cluster whose nodes can be killed."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICING}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> None:
        """One more node, with one CPU."""
        self._cluster.add_node(num_cpus=1)

    def drain(self, raylet: psutil.Process) -> None:
        """Announce that a node will be taken away in a minute, as a cloud's agent does."""
        ports = {c.laddr.port for c in raylet.net_connections() if c.status == psutil.CONN_LISTEN}
        (name,) = (
            node.node_id for node in self._cluster.worker_nodes if node.node_manager_port in ports
        )
        command = [str(Path(sys.executable).with_name("ray")), "drain-node"]
        command += ["--address", self.address, "--node-id", name, "--reason-message", "a test"]
        command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION"]
        command += ["--deadline-remaining-seconds", "60"]
        subprocess.run(command, check=True, capture_output=True)

    @property
    def draining(self) -> list[str]:
        """Nodes that were announced to be taken away."""
        import ray
        from ray._private.state import GlobalState

        state = GlobalState()
        state._initialize_global_state(
            ray._raylet.GcsClientOptions.create(self.address, None, True, False)
        )
        return list(state.get_draining_nodes())

    def node_of(self, pid: int) -> list[psutil.Process]:
        """The raylet of a worker, and all processes below it."""
        raylet = psutil.Process(pid)
        while raylet.name() != "raylet":
            raylet = raylet.parents()[0]
        return [raylet, *raylet.children(recursive=True)]

    def actors(self, name: str) -> list[psutil.Process]:
        """Processes of an actor class."""
        found = []
        for process in living(psutil.Process().children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                if any(f"ray::{name}" in part for part in process.cmdline()):
                    found.append(process)
        return found

    def close(self) -> None:
        end_all([p for node in self._nodes() for p in [node, *node.children(recursive=True)]])
        self._cluster.shutdown()

    def _nodes(self) -> list[psutil.Process]:
        found = []
        for node in self._cluster.worker_nodes:
            for info in node.all_processes.get("raylet", []):
                if info.process.poll() is None:
                    found.append(psutil.Process(info.process.pid))
        return found

    def ensure(self, number: int) -> None:
        """Have so many living nodes."""
        for _ in range(number - len(self._nodes())):
            self.add()
