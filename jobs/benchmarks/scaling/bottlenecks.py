"""What N workers cost the driver's node and worker 0, from the costs measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.orchestration.environment import of_a_group
from trainwright.orchestration.monitor import MOST_VITALS_PER_S, SECONDS_BETWEEN_VITALS

SATURATED = 1.0
NOTICED = 0.05
MOST_WORKERS = 4096
FAR = 1 << 20
"""Workers up to which a limit is looked for."""

SECONDS_BETWEEN_CHECKPOINTS = 1800.0
KINDS = 3
"""Of tensors that a checkpoint has for each parameter: itself and two of AdamW."""

INTERVAL = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"


@dataclass(frozen=True)
class Load:
    """One thing of ours that grows with the number of workers.

    Attributes:
        what: in words.
        share: of a core that it keeps busy all the time, given the number of workers.
        harm: what happens where it keeps one busy for good.
        stalls: whether training waits for it.
    """

    what: str
    share: Callable[[int], float]
    harm: str = ""
    stalls: bool = False

    def reaches(self, share: float) -> int | None:
        """The fewest workers with which it takes that share; None up to ``FAR``."""
        if self.share(FAR) < share:
            return None
        low, high = 0, FAR
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.share(middle) >= share else (middle, high)
        return high


def loads(costs: Mapping[str, Any], tensors: int) -> list[Load]:
    """What there is, with how often it happens as the platform has it.

    Args:
        costs: ``results.Costs`` as plain values.
        tensors: parameters of a model at ZeRO 3, of each of which every worker has a piece.
    """
    board, poll = costs["board"]["median"], costs["poll"]["each"]
    vitals, piece = costs["vitals"]["median"] / MOST_WORKERS, costs["commit"]["each"]

    def board_share(workers: int) -> float:
        return board * workers / max(SECONDS_BETWEEN_VITALS, workers / MOST_VITALS_PER_S)

    def poll_share(workers: int) -> float:
        return poll * workers / float(of_a_group(workers)[INTERVAL])

    def commit_share(workers: int) -> float:
        return piece * KINDS * tensors * workers / SECONDS_BETWEEN_CHECKPOINTS

    silent = "progress is shown late, and a lost worker noticed late; training goes on"
    slow = "worker 0 computes beside it, and all wait for worker 0"
    return [
        Load("Ray Train's controller asks every worker how it is", poll_share, silent),
        Load("the board takes what every worker tells", board_share, silent),
        Load("the driver reads all vitals every two seconds", lambda n: vitals * n / 2, silent),
        Load("a checkpoint's manifest at ZeRO 3, every half hour", commit_share, slow, stalls=True),
    ]


def former_loads(costs: Mapping[str, Any]) -> list[Load]:
    """The same where how often it happens did not depend on the number of workers."""
    board, poll, look = costs["board"]["median"], costs["poll"]["each"], costs["look"]["median"]
    return [
        Load("the controller asked all workers five times a second", lambda n: poll * n / 0.2),
        Load("each told the board every second how it is", lambda n: board * n),
        Load("each missing worker was a wish, looked at every 2 s", lambda n: look * n / 2),
    ]


def launch_s(costs: Mapping[str, Any], workers: int, per_node: int, cores: int) -> dict[str, float]:
    """Seconds of a start, by part.

    Args:
        costs: as above.
        workers: how many.
        per_node: of a node.
        cores: of a node, over which the imports of its workers are divided.
    """
    first = max(costs["launch"]["fixed"], 0.0)
    return {
        "Ray's controller and its first worker": first,
        "the controller, for every further worker": costs["launch_controller"]["each"] * workers,
        "imports on each node": costs["imports"]["median"] * max(per_node / cores, 1.0),
    }
