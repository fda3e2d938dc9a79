"""Compress each layer of a model as much as it bears, found by evolutionary search: EvoPress."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from trainwright.procedure import Inputs, Procedure, ProcedureContext
from trainwright_strategies.compression.database import Database, built
from trainwright_strategies.compression.evolution import (
    Point,
    Space,
    Stages,
    different,
    fittest,
    mutated,
    random_point,
)
from trainwright_strategies.compression.levels import Compression, Compressor, Dropped, Kind
from trainwright_strategies.compression.workbench import (
    Evaluation,
    Fitness,
    side_by_side,
    workbench,
)

_INITIALLY_GENERATED = 32
"""Random points of which the best is the first parent, where no point is uniform."""


class EvoPress(Procedure):
    """Compress each layer as much as it bears, found by evolutionary search: EvoPress.

    Under a budget for the whole model the best share of each layer is not the same, and the sum
    of the layers' own errors does not tell it. So whole models are measured: each generation
    makes children of the best point so far, by moving budget between layers, and keeps the
    fittest.

    Equation:
        fitness(c) = mean over samples of KL(p_whole || p_c); less is better.
        A child is a parent after f level switches, f = min of two draws from {1, 2, 3}; a
        switch is one unit a level down, one of its group a level up, which keeps the budget.
        Stage j measures all that are left on ``num_samples[j]`` fresh training samples and keeps
        ``survivors[j]``; the parents take part in the last.

    Args:
        run: name, in the job's section runs, of the run whose model is compressed.
        space: ``sparsity``: weights set to zero, a level is a number of weights; ``bits``:
            weights rounded to few values, a level is a bit, exchanged between layers of one
            size, since only then the bits of the model stay; ``drop``: blocks left out,
            exchanged between those whose names differ in numbers alone.
        target: mean share of weights pruned; mean bits for a weight, 1 to 16, 2.5 for example;
            or share of the blocks of each group dropped, rounded down.
        units: names of layers, or patterns with ``*``; of blocks, for ``drop``. None: all linear
            and convolutional layers but the last, which should not be among them.
        compressor: ``magnitude``, or ``sparsegpt``, which corrects the weights that are left
            for those pruned before them; ``rounding``, or ``gptq``, which so corrects the
            columns that are not rounded yet. None: the plain one. Suggested: those that
            correct.
        damping: of these two, above 0: added to the diagonal of the second moments of a layer's
            inputs, as share of its mean. Suggested: 0.01.
        dropped: what a dropped block gives: its ``input``, or ``zero``, for branches whose
            output is added to their input, as those of attention and perceptron.
        step: of ``sparsity``: a level as share of the smallest unit's weights. Suggested: 0.05.
        max_level: levels away from the target at most. Suggested: 3.
        max_total_deviation: bound on their sum over the units, at least 2; None for none. Where
            there is a uniform point: not for ``drop``, not for bits and a half.
        fitness: ``kl``; or ``loss``, the run's objective: for language models the logarithm of
            perplexity.
        top_k: classes by which ``kl`` compares, the whole model's most probable ones, among
            which both are normalised: memory for large vocabularies. None: all. Suggested: 512.
        generations: how many; 0 gives the first point. Suggested: 60 for ten layers.
        offspring: children in each. Suggested: 16 to 64.
        population: parents in each, from which children are drawn evenly. Suggested: 1.
        survivors: of each stage, falling to ``population``. Suggested: an eighth, then 1.
        num_samples: samples of each stage. Suggested: few, then eight times as many.
        initially_generated: random points of which the best, on ``num_samples[0]`` samples, are
            the first parents. None: 32 where there is no uniform point, else 0, which starts
            there.
        search: ``evolution``; or ``random``, whose children are random points: what as many
            measurements find without it.
        pieces: parts into which the points of a stage are cut, measured side by side.

    Needs:
        An earlier run whose model gives ``logits``. Of sequences the last position is left out.
        Each layer is compressed once at all its levels, side by side, with the run's training
        samples and the inputs that the whole model gives it, and kept in the run's folder. On
        each worker the model, these layers and the training samples in memory.

    Measured:
        Digits, MLP of 9 hidden layers of 64 with batch normalisation (accuracy .96), half of the
        hidden weights pruned, 5 seeds, validation: divergence .83 uniform, .47 random search with
        as many measurements, .41 evolution, lower than both with every seed; accuracy .70, .86,
        .88 (95 % intervals +- .07, .02, .01). By SparseGPT .122 uniform and .078 evolution, lower
        with every seed. All layers at 2, 3, 4 bits: 3.0, .139, .024 by rounding, .90, .041, .008
        by GPTQ. By GPTQ with at most 2.5 bits: on training samples .077 for the best of 32 random
        points, .043 evolution, lower with every seed; validation .128 and .104, lower with 3 of 5,
        and .107 by random search. A residual network of 8 layers at .8: .28 uniform, .141 random,
        .126 evolution, lower than random with 4 of 5 seeds.
        The default search, up to 1,260 measurements on 64 or 512 samples, took 1.6 s, and 4.7 s
        at random, where a point is ninety switches; to compress 9 layers at 7 levels .1 s, by
        SparseGPT .3 s (one CPU core, shared).

    Source:
        O. Sieberling, D. Kuznedelev, E. Kurtic, D. Alistarh, "EvoPress: Towards Optimal Dynamic
        Model Compression via Evolutionary Search", 2024, arXiv 2410.14649. In the authors' code
        the parent joins every stage that has as many survivors as the last; here it is the last.
        Stages count samples, theirs tokens; groups by name and none, which theirs has too, are
        left out: there a switch changes the bits. E. Frantar, D. Alistarh, "SparseGPT: Massive
        Language Models Can Be Accurately Pruned in One-Shot", 2023, arXiv 2301.00774: as in
        EvoPress's code one mask for a layer, not one for each 128 columns. E. Frantar,
        S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training Quantization for
        Generative Pre-trained Transformers", 2022, arXiv 2210.17323: columns in their order; a
        symmetric grid for each row, where the code's is not symmetric.

    Raises:
        ValueError: an option is out of range, or the model has not the units.
    """

    def __init__(
        self,
        run: str = "model",
        space: Kind = "sparsity",
        target: Annotated[float, Field(gt=0)] = 0.5,
        units: Sequence[str] | None = None,
        compressor: Compressor | None = None,
        damping: Annotated[float, Field(gt=0)] = 0.01,
        dropped: Dropped = "input",
        step: Annotated[float, Field(gt=0, lt=1)] = 0.05,
        max_level: Annotated[int, Field(ge=1)] = 3,
        max_total_deviation: Annotated[int, Field(ge=2)] | None = None,
        fitness: Fitness = "kl",
        top_k: Annotated[int, Field(ge=2)] | None = None,
        generations: Annotated[int, Field(ge=0)] = 60,
        offspring: Annotated[int, Field(ge=1)] = 16,
        population: Annotated[int, Field(ge=1)] = 1,
        survivors: Sequence[Annotated[int, Field(ge=1)]] = (4, 1),
        num_samples: Sequence[Annotated[int, Field(ge=1)]] = (64, 512),
        initially_generated: Annotated[int, Field(ge=0)] | None = None,
        search: Literal["evolution", "random"] = "evolution",
        pieces: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        self.run_name = run
        self.compression = Compression(
            space, target, tuple(units or ()), compressor, damping, dropped, step, max_level
        )
        _refuse_stages(survivors, num_samples, offspring, population)
        self.initially_generated = self._points_at_first(initially_generated, max_total_deviation)
        self.max_total_deviation = max_total_deviation
        self.fitness = fitness
        self.top_k = top_k
        self.generations = generations
        self.offspring = offspring
        self.stages = Stages(tuple(survivors), tuple(num_samples))
        self.search = search
        self.pieces = pieces

    def _points_at_first(self, wanted: int | None, max_total_deviation: int | None) -> int:
        if self.compression.has_uniform_point:
            return wanted or 0
        if max_total_deviation is not None:
            raise ValueError(
                "max_total_deviation is a distance from a uniform point: there is none"
            )
        if wanted == 0:
            raise ValueError("initially_generated must be at least 1 where no point is uniform")
        return wanted or _INITIALLY_GENERATED

    def check(self, inputs: Inputs) -> None:
        """The model has units between which levels can move, and there are samples enough."""
        run = inputs.run(self.run_name)
        self.compression.space_of(run.model())
        available = len(run.table("train"))
        if max(self.stages.num_samples) > available:
            raise ValueError(
                f"num_samples asks for {max(self.stages.num_samples)} of {available} samples"
            )

    def run(self, context: ProcedureContext) -> dict[str, float]:
        """Compress layers, search, measure what was found on all samples, tell."""
        trained = context.run(self.run_name)
        database = built(context, trained, self.compression)
        space = self.compression.space_of(trained.model(), self.max_total_deviation)
        parents = self._first(context, database, space)
        for generation in range(self.generations):
            parents = self._generation(context, database, space, parents, generation)
        return self._found(context, database, space, parents[0])

    def _first(self, context: ProcedureContext, database: Database, space: Space) -> list[Point]:
        if not self.initially_generated:
            return [space.start]
        draw = partial(random_point, space, _random(context, "first"))
        points = different(draw, space, self.initially_generated)
        measured = self._measure(context, database, "first", points, self.stages.num_samples[0])
        return fittest(points, measured, self.stages.survivors[-1])

    def _generation(
        self,
        context: ProcedureContext,
        database: Database,
        space: Space,
        parents: list[Point],
        number: int,
    ) -> list[Point]:
        random = _random(context, "children", number)

        def child() -> Point:
            if self.search == "random":
                return random_point(space, random)
            return mutated(parents[int(random.integers(len(parents)))], space, random)

        def evaluate(stage: int, points: list[Point], samples: int) -> list[float]:
            name = f"generation_{number}/{stage}"
            return self._measure(context, database, name, points, samples)

        children = different(child, space, self.offspring)
        best, fitness = self.stages.select(parents, children, evaluate)
        context.log({f"search/{self.fitness}": fitness}, step=number)
        return best

    def _measure(
        self,
        context: ProcedureContext,
        database: Database,
        name: str,
        points: list[Point],
        samples: int,
    ) -> list[float]:
        """The fitness of points, all on the same fresh samples."""
        available = len(database.run.table("train"))
        rows = torch.randperm(available, generator=context.rng("rows", name))[:samples]
        evaluation = Evaluation(database, self.fitness, self.top_k, rows=rows)
        return side_by_side(context, evaluation, points, self.pieces, name)

    def _found(
        self, context: ProcedureContext, database: Database, space: Space, point: Point
    ) -> dict[str, float]:
        bench = workbench(database, self.top_k)
        context.folder.write_json("point.json", dict(zip(bench.units, point, strict=True)))
        found = {}
        if self.compression.has_uniform_point:
            distances = [abs(a - b) for a, b in zip(point, space.start, strict=True)]
            found["total_deviation"] = float(sum(distances))
        if space.sizes:
            found["mean_bits"] = float(np.average(point, weights=space.sizes))
        for split in ("train", "validation"):
            evaluation = Evaluation(database, "kl", self.top_k, split)
            (found[f"{split}/kl"],) = context.step(f"kl_{split}", evaluation, [point])
        measured = context.step("evaluate", database.run.evaluate, "validation", bench.set(point))
        return {**found, **{f"validation/{name}": value for name, value in measured.items()}}


def _refuse_stages(
    survivors: Sequence[int], samples: Sequence[int], offspring: int, population: int
) -> None:
    falling = all(after < before for before, after in pairwise(survivors))
    if not survivors or len(survivors) != len(samples):
        raise ValueError(
            f"survivors and num_samples must have one number for each stage, got {list(survivors)} "
            f"and {list(samples)}"
        )
    if not falling or survivors[-1] != population or survivors[0] > offspring:
        raise ValueError(
            f"survivors must fall from at most offspring, {offspring}, to population, "
            f"{population}, got {list(survivors)}"
        )


def _random(context: ProcedureContext, *names: int | str) -> np.random.Generator:
    return np.random.default_rng(context.rng(*names).initial_seed())
