"""Where a worker is and how much memory it has, so that its loss can be explained."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

GIGABYTE = 1e9

_CGROUP = Path("/sys/fs/cgroup")
_FILES = (
    ("memory.current", "memory.max", "memory.stat", "inactive_file"),
    (
        "memory/memory.usage_in_bytes",
        "memory/memory.limit_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Of the second and the first version of control groups."""


@dataclass(frozen=True)
class Memory:
    """Memory in use where a process runs: its container, or its machine.

    Attributes:
        own: resident bytes of the process.
        used: bytes in use in all, without what the system can drop.
        limit: bytes that there are.
    """

    own: int
    used: int
    limit: int

    def peak(self, other: Memory) -> Memory:
        """The one of both with more in use."""
        return max(self, other, key=lambda memory: memory.used / max(memory.limit, 1))

    def __str__(self) -> str:
        used, limit, own = (n / GIGABYTE for n in (self.used, self.limit, self.own))
        return f"{used:.1f} of {limit:.1f} GB were in use, {own:.1f} GB by this worker"


def memory_now(cgroup: Path = _CGROUP) -> Memory:
    """What is in use now; of a container where one has a limit."""
    import psutil

    machine = psutil.virtual_memory()
    own = psutil.Process().memory_info().rss
    for usage, limit, stat, droppable in _FILES:
        try:
            most = int((cgroup / limit).read_text())
            used = int((cgroup / usage).read_text())
            lines = (cgroup / stat).read_text().splitlines()
        except (OSError, ValueError):  # not there, or "max"
            continue
        if most < machine.total:
            cached = sum(int(line.split()[1]) for line in lines if line.split()[0] == droppable)
            return Memory(own, used - cached, most)
    return Memory(own, machine.total - machine.available, machine.total)


@dataclass(frozen=True)
class Vitals:
    """One worker.

    Attributes:
        node: Ray's name of its node.
        host: its machine.
        pid: its process.
        reserved: Ray's name of what its group has reserved.
        log: its log, a path on that machine.
        memory: of the moment at which most of it was in use.
        leaving: whether somebody asked it to end by SIGTERM.
    """

    node: str
    host: str
    pid: int
    reserved: str
    log: str
    memory: Memory
    leaving: bool = False

    @classmethod
    def here(cls, log: Path, leaving: bool) -> Vitals:
        """Of this process, which is a worker of Ray's."""
        import ray
        from ray.util import get_current_placement_group

        return cls(
            node=ray.get_runtime_context().get_node_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            reserved=get_current_placement_group().id.hex(),
            log=str(log),
            memory=memory_now(),
            leaving=leaving,
        )

    def since(self, earlier: Vitals | None) -> Vitals:
        """These, with the peak of both."""
        if earlier is None or earlier.pid != self.pid:
            return self
        return replace(self, memory=self.memory.peak(earlier.memory))
