"""How often a run may lose workers or nodes, and what is told when it was too often."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from trainwright.job.models import ClusterSpec

MOST_TOLD = 10


@dataclass(frozen=True)
class Incident:
    """A group of workers that ended before training did.

    Attributes:
        kind: whether a worker or its node was lost: which budget pays.
        what: one sentence for people, without a full stop.
        when: seconds since 1970.
    """

    kind: Literal["worker", "node"]
    what: str
    when: float = field(default_factory=time.time)

    def __str__(self) -> str:
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.when))}  {self.what}"


class Budget:
    """Counts what happened since training last got further than before.

    Workers and nodes are counted apart: a node that a cloud takes away says nothing about a
    program that crashes. A new checkpoint clears both counts, so that a long run survives any
    number of faults, and one that crashes at the same place again and again soon ends.

    Args:
        cluster: names the limits.
        step: of the newest checkpoint, 0 for none.
    """

    def __init__(self, cluster: ClusterSpec, step: int) -> None:
        self._limits = {"worker": cluster.max_failures, "node": cluster.max_node_failures}
        self._names = {"worker": "cluster.max_failures", "node": "cluster.max_node_failures"}
        self._step = step
        self._since: list[Incident] = []
        self.incidents: list[Incident] = []

    def allows(self, incident: Incident, step: int) -> bool:
        """Take note of an incident; whether training may be started again after it.

        Args:
            incident: what happened.
            step: of the newest checkpoint by now.
        """
        if step > self._step:
            self._step, self._since = step, []
        self._since.append(incident)
        self.incidents.append(incident)
        return self._spent(incident.kind) <= self._limits[incident.kind]

    def _spent(self, kind: str) -> int:
        return sum(incident.kind == kind for incident in self._since)

    def explain(self) -> str:
        """Which budget the last incident overdrew, and what happened each time."""
        last = self.incidents[-1]
        limit, name = self._limits[last.kind], self._names[last.kind]
        restarts = "1 restart" if limit == 1 else f"{limit} restarts"
        where = f"beyond step {self._step}" if self._step else "at all"
        text = (
            f"{last.what}, and {restarts} did not help: no checkpoint {where} was written, "
            f"and {name} is {limit}"
        )
        told = self.incidents[-MOST_TOLD:]
        if len(told) > 1:
            more = len(self.incidents) - len(told)
            before = [f"({more} earlier ones)"] if more else []
            text += "\nwhat happened:\n  " + "\n  ".join([*before, *map(str, told)])
        return text
