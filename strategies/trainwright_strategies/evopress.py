"""Compress each layer of a model as much as it bears, found by evolutionary search: EvoPress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trainwright.procedure import Inputs, Procedure, ProcedureContext, TrainedRun
from trainwright_strategies.compression.evolution import (
    Point,
    Space,
    Stages,
    different,
    fittest,
    mutated,
    random_point,
)
from trainwright_strategies.compression.levels import Compression, Kind, workbench


@dataclass(frozen=True)
class Evaluation:
    """Measures points on a minibatch; it can travel to another process.

    Attributes:
        run: whose model is compressed.
        compression: what levels mean.
        rows: the samples, of the run's training split; None for all of ``split``.
        split: of the run's data.
    """

    run: TrainedRun
    compression: Compression
    rows: Tensor | None = None
    split: str = "train"

    def __call__(self, points: Sequence[Sequence[int]]) -> list[float]:
        """The divergence of each point."""
        bench = workbench(self.run, self.compression)
        return bench.divergences([tuple(point) for point in points], self.split, self.rows)


class EvoPress(Procedure):
    """Compress each layer as much as it bears, found by evolutionary search: EvoPress.

    Under a budget for the whole model the best share of each layer is not the same, and the sum
    of the layers' own errors does not tell it. So whole models are measured: each generation
    makes children of the best point so far, by moving budget between layers, and keeps the
    fittest.

    Equation:
        fitness(c) = mean over samples of KL(p_whole || p_c); less is better.
        A child is the parent after f level switches, f = min of two draws from {1, 2, 3}; a
        switch is one unit a level down, one of its group a level up, which keeps the budget.
        Stage j measures all that are left on ``num_samples[j]`` fresh training samples and keeps
        ``survivors[j]``; the parent takes part in the last.

    Args:
        run: name, in the job's section runs, of the run whose model is compressed.
        space: ``sparsity``: smallest weights set to zero, a level is a number of weights;
            ``bits``: weights rounded to few values, a level is a bit, exchanged between layers of
            one size; ``drop``: blocks whose output is their input.
        target: mean share of weights pruned; bits; or share of blocks dropped, rounded down.
        units: names of layers, or patterns with ``*``; of blocks, for ``drop``. None: all linear
            and convolutional layers but the last, which should not be among them.
        step: of ``sparsity``: a level as share of the smallest unit's weights. Suggested: 0.05.
        max_level: levels away from the target at most. Suggested: 3.
        max_total_deviation: bound on their sum over the units, at least 2; None for none.
        generations: how many; 0 gives the uniform point. Suggested: 60 for ten layers.
        offspring: children in each. Suggested: 16 to 64.
        survivors: of each stage, falling to 1. Suggested: an eighth, then 1.
        num_samples: samples of each stage. Suggested: few, then eight times as many.
        initially_generated: random points of which the best, on ``num_samples[0]`` samples, is
            the first parent; None: 32 for ``drop``, whose uniform point is arbitrary, else 0.
        search: ``evolution``; or ``random``, whose children are random points: what as many
            measurements find without it.
        pieces: parts into which the points of a stage are cut, measured side by side.

    Needs:
        An earlier run whose model gives ``logits``. Of sequences the last position is left out.
        On each worker the model, its compressed layers and the training samples in memory. What
        is pruned or rounded is so without correction of the other weights (SparseGPT, GPTQ).

    Measured:
        Digits, MLP of 9 hidden layers of 64 with batch normalisation (accuracy .96), half of the
        hidden weights pruned, 5 seeds, validation: divergence .83 uniform, .47 random search with
        as many measurements, .41 evolution, lower than both with every seed; accuracy .70, .86,
        .88 (95 % intervals +- .07, .02, .01). The default search, up to 1,260 measurements on
        64 or 512 samples, took 2.4 s (one CPU core, shared).

    Source:
        O. Sieberling, D. Kuznedelev, E. Kurtic, D. Alistarh, "EvoPress: Towards Optimal Dynamic
        Model Compression via Evolutionary Search", 2024, arXiv 2410.14649. In the authors' code
        the parent joins every stage that has as many survivors as the last; here it is the last.

    Raises:
        ValueError: an option is out of range, or the model has not the units.
    """

    def __init__(
        self,
        run: str = "model",
        space: Kind = "sparsity",
        target: Annotated[float, Field(gt=0)] = 0.5,
        units: Sequence[str] | None = None,
        step: Annotated[float, Field(gt=0, lt=1)] = 0.05,
        max_level: Annotated[int, Field(ge=1)] = 3,
        max_total_deviation: Annotated[int, Field(ge=2)] | None = None,
        generations: Annotated[int, Field(ge=0)] = 60,
        offspring: Annotated[int, Field(ge=1)] = 16,
        survivors: Sequence[Annotated[int, Field(ge=1)]] = (4, 1),
        num_samples: Sequence[Annotated[int, Field(ge=1)]] = (64, 512),
        initially_generated: Annotated[int, Field(ge=0)] | None = None,
        search: Literal["evolution", "random"] = "evolution",
        pieces: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        whole = space != "bits" or (target == int(target) and target <= 16)
        if not whole or (space != "bits" and target >= 1):
            allowed = "a whole number from 1 to 16" if space == "bits" else "above 0 and below 1"
            raise ValueError(f"target must be {allowed} for {space}, got {target!r}")
        _refuse_stages(survivors, num_samples, offspring)
        if space == "drop" and not units:
            raise ValueError("units must name the blocks that can be dropped")
        self.run_name = run
        self.compression = Compression(space, target, tuple(units or ()), step, max_level)
        self.max_total_deviation = max_total_deviation
        self.generations = generations
        self.offspring = offspring
        self.stages = Stages(tuple(survivors), tuple(num_samples))
        usual = 32 if space == "drop" else 0
        self.initially_generated = usual if initially_generated is None else initially_generated
        self.search = search
        self.pieces = pieces

    def check(self, inputs: Inputs) -> None:
        """The model has units between which levels can move, and there are samples enough."""
        run = inputs.run(self.run_name)
        self._space(run)
        available = len(run.table("train"))
        if max(self.stages.num_samples) > available:
            raise ValueError(
                f"num_samples asks for {max(self.stages.num_samples)} of {available} samples"
            )

    def _space(self, run: TrainedRun) -> Space:
        bench = workbench(run, self.compression)
        return self.compression.space(bench.sizes, self.max_total_deviation)

    def run(self, context: ProcedureContext) -> dict[str, float]:
        """Search, measure what was found on all samples, tell."""
        trained = context.run(self.run_name)
        space = self._space(trained)
        point = self._first(context, space)
        for generation in range(self.generations):
            point = self._generation(context, space, point, generation)
        return self._found(context, space, point)

    def _first(self, context: ProcedureContext, space: Space) -> Point:
        if not self.initially_generated:
            return space.start
        draw = partial(random_point, space, _random(context, "first"))
        points = different(draw, space, self.initially_generated)
        measured = self._measure(context, "first", points, self.stages.num_samples[0])
        return fittest(points, measured, 1)[0]

    def _generation(
        self, context: ProcedureContext, space: Space, parent: Point, number: int
    ) -> Point:
        random = _random(context, "children", number)
        if self.search == "evolution":
            children = different(partial(mutated, parent, space, random), space, self.offspring)
        else:
            children = different(partial(random_point, space, random), space, self.offspring)

        def evaluate(stage: int, points: list[Point], samples: int) -> list[float]:
            return self._measure(context, f"generation_{number}/{stage}", points, samples)

        best, fitness = self.stages.select(parent, children, evaluate)
        context.log({"search/kl": fitness}, step=number)
        return best

    def _measure(
        self, context: ProcedureContext, name: str, points: Sequence[Point], samples: int
    ) -> list[float]:
        """The fitness of points, all on the same fresh samples, in pieces side by side."""
        trained = context.run(self.run_name)
        available = len(trained.table("train"))
        rows = torch.randperm(available, generator=context.rng("rows", name))[:samples]
        evaluation = Evaluation(trained, self.compression, rows)
        size = -(-len(points) // self.pieces)
        parts = [list(points[first : first + size]) for first in range(0, len(points), size)]
        return [value for part in context.map(evaluation, parts, name=name) for value in part]

    def _found(self, context: ProcedureContext, space: Space, point: Point) -> dict[str, float]:
        trained = context.run(self.run_name)
        bench = workbench(trained, self.compression)
        context.folder.write_json("point.json", dict(zip(bench.units, point, strict=True)))
        distances = [abs(a - b) for a, b in zip(point, space.start, strict=True)]
        found = {"total_deviation": float(sum(distances))}
        for split in ("train", "validation"):
            evaluation = Evaluation(trained, self.compression, split=split)
            (found[f"{split}/kl"],) = context.step(f"kl_{split}", evaluation, [point])
        measured = context.step("evaluate", trained.evaluate, "validation", bench.set(point))
        return {**found, **{f"validation/{name}": value for name, value in measured.items()}}


def _refuse_stages(survivors: Sequence[int], samples: Sequence[int], offspring: int) -> None:
    falling = all(after < before for before, after in pairwise(survivors))
    if not survivors or len(survivors) != len(samples):
        raise ValueError(
            f"survivors and num_samples must have one number for each stage, got {list(survivors)} "
            f"and {list(samples)}"
        )
    if not falling or survivors[-1] != 1 or survivors[0] > offspring:
        raise ValueError(
            f"survivors must fall from at most offspring, {offspring}, to 1, got {list(survivors)}"
        )


def _random(context: ProcedureContext, *names: int | str) -> np.random.Generator:
    return np.random.default_rng(context.rng(*names).initial_seed())
