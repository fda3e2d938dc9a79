"""Weak and strong scaling on this machine, and the costs from which larger sizes are predicted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common.models import MODELS
from common.pairs import Side, ratio_of

from scaling import control, writes
from scaling.cases import STAGES, Case, cases_of, numbers_of_workers
from scaling.group import Group, groups_of
from scaling.links import line_through
from scaling.results import Costs, Scaled, Scaling, Step
from trainwright.orchestration.machine import cpus_here

WARM_UP = 2
TOLERANCE = 1e-3
SIDES = ("ours", "bare")
PARTS = ("forward", "backward", "optimizer")
STEPS = 60
SIZES = [1 << power for power in range(10, 25, 2)]
"""Bytes of messages between workers, from 1 KiB to 16 MiB."""


def measure(turns: int, quick: bool) -> Scaling:
    """Train every case in turns, and measure every cost.

    Raises:
        AssertionError: the losses of the two sides differ.
    """
    cores = cpus_here()
    numbers = numbers_of_workers(cores)
    if quick:
        numbers = [number for number in numbers if number <= min(cores, 2)]
    costs = Costs()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        with groups_of(numbers, folder) as groups:
            scaled = [
                result
                for model in MODELS
                for stage in STAGES
                if not quick or (model, stage) == ("mlp", 0)
                for result in _scaled(groups, _cases(model, stage, numbers, turns))
            ]
            _computing(costs, groups, quick)
    with tempfile.TemporaryDirectory() as name:
        _writing(costs, Path(name), quick)
        _controlling(costs, Path(name), quick)
    return Scaling(cores, scaled, costs)


def _cases(model: str, stage: int, numbers: list[int], turns: int) -> list[Case]:
    """Of a model at a stage; more workers than cores are tried at stage 0 alone."""
    kept = [number for number in numbers if stage == 0 or number <= cpus_here()]
    return cases_of(model, stage, kept, turns + WARM_UP)


def _scaled(groups: dict[int, Group], cases: list[Case]) -> list[Scaled]:
    for case in cases:
        groups[case.workers].ask("open", case)
    works = [(case, side) for case in cases for side in SIDES]
    times: dict[tuple[Case, str], list[float]] = {work: [] for work in works}
    for turn in range(cases[0].turns):
        first = turn % len(works)
        order = [*works[first:], *works[:first]]
        for case, side in order if turn % 2 == 0 else order[::-1]:
            times[case, side].append(groups[case.workers].ask("turn", case, side))
    found = []
    for case in cases:
        worst = groups[case.workers].ask("close", case)
        assert worst <= TOLERANCE, f"{case}: the losses differ by {worst:.2e}"
        kept = {key: seconds[WARM_UP:] for key, seconds in times.items()}
        found.append(_result(case, cases[0], kept, worst))
    return found


def _result(
    case: Case, alone: Case, times: dict[tuple[Case, str], list[float]], worst: float
) -> Scaled:
    seconds = {side: Side.of(times[case, side]) for side in SIDES}

    def per_sample(of: Case, side: str) -> list[float]:
        """Seconds of a worker for each sample."""
        return [t * of.workers / of.batch_size for t in times[of, side]]

    return Scaled(
        case=case,
        oversubscribed=case.workers > cpus_here(),
        seconds=seconds,
        efficiency={
            side: ratio_of(per_sample(alone, side), per_sample(case, side)) for side in SIDES
        },
        against_bare=ratio_of(times[case, "ours"], times[case, "bare"]),
        samples_per_second={side: case.batch_size / seconds[side].median for side in SIDES},
        worst_loss_difference=worst,
    )


def _computing(costs: Costs, groups: dict[int, Group], quick: bool) -> None:
    for model in MODELS:
        parts = groups[1].ask("steps", model, 10 if quick else STEPS)
        (parameters,) = parts.pop("parameters")
        whole = np.log(np.sum(list(parts.values()), axis=0))
        low, high = np.quantile(whole, [0.25, 0.75])
        costs.steps[model] = Step(
            parameters=int(parameters),
            samples=MODELS[model].batch_size,
            spread=float(high - low) / 1.349,  # of a normal distribution's quartiles
            **{name: Side.of(seconds) for name, seconds in parts.items()},
        )
    for workers, group in groups.items():
        costs.crowds[str(workers)] = {
            model: _median_s(group.ask("steps", model, 5 if quick else 20)) / _whole_s(step)
            for model, step in costs.steps.items()
        }
        times = group.ask("links", SIZES, 5 if quick else 25)
        sizes = [float(size) for size in SIZES]
        lines = {way: line_through(sizes, seconds) for way, seconds in times.items()}
        if workers == 1:
            costs.copy = lines["copy"]
        else:
            costs.links[str(workers)] = lines


def _median_s(parts: dict[str, list[float]]) -> float:
    return sum(float(np.median(parts[part])) for part in PARTS)


def _whole_s(step: Step) -> float:
    return step.forward.median + step.backward.median + step.optimizer.median


def _writing(costs: Costs, folder: Path, quick: bool) -> None:
    repeats = 2 if quick else 7
    costs.row = Side.of(writes.rows(folder, repeats))
    costs.checkpoint = Side.of(writes.checkpoints(folder, repeats))
    ranks = [8, 16] if quick else [64, 128, 256, 512]
    pieces = [float(number * writes.TENSORS) for number in ranks]
    costs.commit = line_through(pieces, writes.commits(ranks, 1 if quick else 3))
    if not quick:
        costs.imports = Side.of([_imports() for _ in range(3)])
        costs.batch = Side.of(writes.batches(folder, repeats))


def _imports() -> float:
    program = (
        "import time, deepspeed, trainwright.training.worker, trainwright.orchestration.on_worker\n"
        "print('took', time.process_time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split("took")[-1])


def _controlling(costs: Costs, folder: Path, quick: bool) -> None:
    numbers = [1, 8] if quick else [1, 4, 16, 64]
    with control.ray_here():
        found = control.messages(numbers, 2 if quick else 7)
        costs.board = Side.of([second for row in found["board"] for second in row])
        named = zip(numbers, found["board"], strict=True)
        costs.board_by_workers = {str(number): Side.of(row) for number, row in named}
        costs.call = Side.of(found["call"][0])
        shares = control.reporting(numbers[1:], 1.0 if quick else 5.0)
        costs.reporting = {str(n): s for n, s in zip(numbers[1:], shares, strict=True)}
        costs.vitals = Side.of(control.vitals_of(4096, 2 if quick else 7))
        places = [1, 8] if quick else [1, 8, 64, 256]
        found = control.places(places, 2 if quick else 7)
        named = zip(places, found["created"], strict=True)
        costs.places = {str(number): Side.of(row) for number, row in named}
        costs.look = Side.of(found["look"][0])
        if not quick:
            _starting(costs, folder)


def _starting(costs: Costs, folder: Path) -> None:
    sizes, rounds = [1, 2, 4, 8], 2
    control.started(1, 0.0, folder)  # what only the first one takes is not counted
    found: dict[int, list[control.Started]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            found[size].append(control.started(size, 2.0, folder))
    workers = [float(size) for size in sizes]
    rows = list(found.values())
    costs.launch = line_through(workers, [[one.start_s for one in row] for row in rows])
    begun = [[one.controller_start_s for one in row] for row in rows]
    costs.launch_controller = line_through(workers, begun)
    polls = [[one.controller / control.POLLS_PER_S for one in row] for row in rows]
    costs.poll = line_through(workers, polls)
