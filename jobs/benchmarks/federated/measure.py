"""A federation against a loop in plain PyTorch and against Flower's simulation.

100 clients share the digits; each of them trains an MLP in every round. All sides have the same
samples, owners, starting weights and local training. See README.md beside this file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.children import ROOT
from common.pairs import Ratio, Side, ratio_of
from common.processes import Sides, seconds

from federated.sides import kept, start_ours
from federated.work import BATCH, HIDDEN, LEARNING_RATE, Work
from trainwright.federated.building import build_parts
from trainwright.federated.spec import FederatedJob

CLIENTS = 100
BLOCK = 50
"""Rounds in a turn; Flower makes one."""

WARM_UP = 2
BARE, FLOWER = "bare loop", "Flower"
LOOPS = {BARE: "usual", "bare loop, tuned": "tuned", "bare loop, SGD by hand": "by hand"}
"""Loops in plain PyTorch, the last two without what can be spared."""

OURS = {
    "ours, 2 actors, sequential": (2, "sequential"),
    "ours, 2 actors, batched": (2, "batched"),
    "ours, in process, sequential": (0, "sequential"),
    "ours, in process, batched": (0, "batched"),
}
"""Our ways: processes on Ray, and how clients train."""

GOALS = {"ours, 2 actors, sequential": 1 / 1.4, "ours, 2 actors, batched": 1 / 5}
"""What our seconds, over those of the bare loop, shall not exceed."""

FLOWER_GOAL = 1 / 25
"""What the seconds of each of :data:`GOALS`, over Flower's, shall not exceed."""


@dataclass(frozen=True)
class FederatedRow:
    """One side.

    Attributes:
        name: of it.
        round: seconds of a round.
        bare: ratio of these to the bare loop's.
        goal: what that shall not exceed, if anything.
        flower: their ratio to Flower's, where there is Flower.
        flower_goal: what that shall not exceed, if anything.
        start_s: seconds from the command to the end of the first round.
        accuracy: on all samples, after ``FederatedResult.rounds`` rounds.
    """

    name: str
    round: Side
    bare: Ratio
    goal: float | None
    flower: Ratio | None
    flower_goal: float | None
    start_s: float
    accuracy: float


@dataclass(frozen=True)
class FederatedResult:
    """What came of it.

    Attributes:
        rows: of all sides.
        clients: that take part in a round.
        rounds: after which the models were compared.
    """

    rows: list[FederatedRow]
    clients: int
    rounds: int


def job_of(
    way: tuple[int, str], block: int, turns: int, storage: str, **federation: Any
) -> dict[str, Any]:
    """The job of one of our ways: a first round, and some turns.

    Args:
        way: processes on Ray, and how clients train.
        block: rounds in a turn.
        turns: how many.
        storage: for the run.
        **federation: further options of the federation.
    """
    workers, execution = way
    rounds = 1 + block * turns
    return {
        "kind": "federated",
        "name": "benchmark",
        "data": {"source": "digits", "batch_size": BATCH},
        "model": {"name": "mlp", "hidden": [HIDDEN]},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": LEARNING_RATE},
        "training": {"epochs": 1},
        "federation": {
            "rounds": rounds,
            "aggregator": {"name": "federated.paced:Paced", "block": block},
            "execution": execution,
            "checkpoint_every": rounds,
            **federation,
        },
        "cluster": {"workers": workers},
        "storage": storage,
        "tracking": {"enabled": False},
    }


def work_of(job: Mapping[str, Any]) -> Work:
    """What the other sides need to do the work of a job."""
    parts = build_parts(FederatedJob.model_validate(job), ROOT)
    tensors, number = parts.table.tensors, parts.rows.partition.num_clients
    return Work(
        tensors["image"].flatten(1),
        tensors["target"],
        [parts.rows.training(client) for client in range(number)],
        parts.vectors.weights.clone(),
    )


def compare(turns: int, clients: int = CLIENTS, flower: Path | None = None) -> FederatedResult:
    """Measure all sides.

    Args:
        turns: of each side, besides those that do not count; with Flower there are a quarter of
            them, for it makes all others wait.
        clients: in the federation.
        flower: Python of Flower's environment; without it Flower is left out.
    """
    beside = max(turns // 4, 1)
    rounds = 2 + beside
    in_all = WARM_UP + turns + 1 + beside
    with tempfile.TemporaryDirectory() as folder, Sides(Path(folder)) as sides:
        file, options = Path(folder) / "work.npz", {"clients": clients}
        work = work_of(job_of((0, "sequential"), BLOCK, in_all, folder, **options))
        work.save(file)
        for name, way in LOOPS.items():
            sides.start(name, "federated.bare", rounds, file, way, block=BLOCK)
        for name, ours in OURS.items():
            job = job_of(ours, BLOCK, in_all, f"{folder}/{len(sides.processes)}", **options)
            start_ours(sides, name, job, rounds)
        sides.timed(WARM_UP)
        alone, together = seconds(sides.timed(turns)), None
        if flower is not None:
            sides.start(FLOWER, "federated.flower", rounds, file, block=1, python=flower)
            sides.timed(1)
            together = seconds(sides.timed(beside))
        accuracies = {
            name: work.accuracy(kept(name, process)) for name, process in sides.processes.items()
        }
        starts = {name: process.start_s for name, process in sides.processes.items()}
    rows = [_row(name, alone, together, starts, accuracies) for name in starts]
    return FederatedResult(rows, clients, rounds)


def _row(
    name: str,
    alone: Mapping[str, list[float]],
    together: Mapping[str, list[float]] | None,
    starts: Mapping[str, float],
    accuracies: Mapping[str, float],
) -> FederatedRow:
    """One side, by its turns among all but Flower, or else by those with Flower."""
    times = alone if name in alone or together is None else together
    return FederatedRow(
        name,
        Side.of(times[name]),
        ratio_of(times[name], times[BARE]),
        GOALS.get(name),
        None if together is None else ratio_of(together[name], together[FLOWER]),
        FLOWER_GOAL if name in GOALS else None,
        starts[name],
        accuracies[name],
    )
