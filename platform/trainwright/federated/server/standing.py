"""What of a federation changes from round to round, beside the model: kept in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from trainwright.federated.aggregator import State
from trainwright.federated.clients.trainer import Execution


@dataclass
class Totals:
    """Counts over all rounds so far.

    Attributes:
        bytes_down: what clients received.
        bytes_up: what they sent.
        dropped: updates that were not finite.
        missing: clients that were asked and did not answer in time.
        empty_rounds: rounds that changed nothing, for too few answered.
        simulated_s: simulated seconds.
    """

    bytes_down: int = 0
    bytes_up: int = 0
    dropped: int = 0
    missing: int = 0
    empty_rounds: int = 0
    simulated_s: float = 0.0

    def values(self) -> dict[str, float]:
        """Those that every federation records."""
        return {
            "federation/megabytes_up": self.bytes_up / 1e6,
            "federation/megabytes_down": self.bytes_down / 1e6,
            "federation/dropped_updates": float(self.dropped),
            "federation/missing_clients": float(self.missing),
            "federation/empty_rounds": float(self.empty_rounds),
        }


@dataclass
class Standing:
    """The state of the server.

    Attributes:
        aggregator: what the aggregator keeps.
        totals: counts.
        privacy: plain values of adaptive clipping.
        execution: how clients train; a run that is continued goes on as it began.
    """

    aggregator: State
    execution: Execution
    totals: Totals = field(default_factory=Totals)
    privacy: dict[str, float] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        return {
            "aggregator": dict(self.aggregator),
            "totals": {f.name: getattr(self.totals, f.name) for f in fields(Totals)},
            "privacy": dict(self.privacy),
            "execution": self.execution,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self.aggregator = state["aggregator"]
        self.totals = Totals(**state["totals"])
        self.privacy = dict(state["privacy"])
        self.execution = state["execution"]
