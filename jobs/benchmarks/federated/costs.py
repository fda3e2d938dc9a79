"""What a round of a federation costs: by its cohort, and by a population that is mostly absent."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from common.pairs import Side
from common.processes import Sides, seconds

from federated.measure import job_of
from federated.sides import start_ours

SAMPLES = 18
"""Of a client: what 100 clients would have if they shared the digits."""

WAYS = ("sequential", "batched")
POPULATION, COHORT = 10_000, 100
SIZES = (
    *((POPULATION, cohort) for cohort in (10, 30, 100, 300, 1000)),
    *((population, COHORT) for population in (1_000, 100_000, 1_000_000)),
)
"""Clients there are, and clients in a round."""


@dataclass(frozen=True)
class CostRow:
    """A federation of one size, in one process.

    Attributes:
        population: clients there are.
        cohort: clients in a round.
        rounds: seconds of a round, for each way in which clients train.
        start_s: seconds from the command to the end of the first round, likewise.
    """

    population: int
    cohort: int
    rounds: dict[str, Side]
    start_s: dict[str, float]


def costs(turns: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[CostRow]:
    """Measure federations of several sizes, in turn.

    Args:
        turns: of each.
        sizes: population and cohort of each.
    """
    with tempfile.TemporaryDirectory() as folder, Sides(Path(folder)) as sides:
        for population, cohort in sizes:
            for way in WAYS:
                block = max(1, 200 // cohort)
                job = job_of(
                    (0, way),
                    block,
                    1 + turns,
                    f"{folder}/{len(sides.processes)}",
                    clients=population,
                    cohort=cohort,
                    partition={"name": "drawn", "samples_per_client": SAMPLES},
                )
                start_ours(sides, _name(population, cohort, way), job, 1)
        sides.timed(1)
        took = seconds(sides.timed(turns))
        starts = {name: process.start_s for name, process in sides.processes.items()}
        for process in sides.processes.values():
            process.end()
    return [
        CostRow(
            population,
            cohort,
            {way: Side.of(took[_name(population, cohort, way)]) for way in WAYS},
            {way: starts[_name(population, cohort, way)] for way in WAYS},
        )
        for population, cohort in sizes
    ]


def _name(population: int, cohort: int, way: str) -> str:
    return f"{cohort} of {population}, {way}"
