"""Whether the errors of single layers tell how good a compressed model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from trainwright.procedure import Inputs, Procedure, ProcedureContext
from trainwright_strategies.compression.database import Database, built, parts_of
from trainwright_strategies.compression.evolution import Point, different, random_point
from trainwright_strategies.compression.levels import Compression, Compressor
from trainwright_strategies.compression.second_order import refuse_without_columns
from trainwright_strategies.compression.workbench import Evaluation, side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """The place of each value among all from 1, of equals the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    places: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return places[which]


def correlations(
    told: Mapping[str, Sequence[float]], outcomes: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """Rank and linear correlation of each of the first with each of the second.

    Returns:
        ``spearman/<told>/<outcome>`` and ``pearson/<told>/<outcome>``.

    Example:
        >>> found = correlations({"sum": [1.0, 2.0, 3.0]}, {"kl": [1.0, 2.0, 9.0]})
        >>> round(found["spearman/sum/kl"], 6), round(found["pearson/sum/kl"], 3)
        (1.0, 0.918)
    """
    found = {}
    for name, values in told.items():
        for outcome, ends in outcomes.items():
            of_ranks = np.corrcoef(ranks(values), ranks(ends))
            found[f"spearman/{name}/{outcome}"] = float(of_ranks[0, 1])
            found[f"pearson/{name}/{outcome}"] = float(np.corrcoef(values, ends)[0, 1])
    return found


class ErrorMonotonicity(Procedure):
    """Whether the errors of single layers tell how good a compressed model is, at random points.

    Searches that add up layers, by dynamic programming for example, take it that of two models
    the one with the smaller sum of layer errors is the better one. ``evopress`` measures whole
    models on few samples instead. This tells for a trained model how far either is right.

    Equation:
        layer_errors = sum over layers of |W_c X - W X|^2 / |W X|^2, X a layer's inputs in the
        whole model.
        fitness = mean over ``num_samples`` training samples of KL(p_whole || p_c).
        Both correlated, by Spearman's ranks and by Pearson's line, with the same divergence on
        all validation samples, ``kl``, and the ``loss`` there: spearman/layer_errors/kl and so on.

    Args:
        run: name, in the job's section runs, of the run whose model is compressed.
        space: ``sparsity`` or ``bits``, as for ``evopress``.
        target: mean share of weights pruned, or mean bits for a weight.
        units: names of layers, or patterns with ``*``. None: all linear and convolutional layers
            but the last.
        compressor: as for ``evopress``.
        damping: of the compressors that correct, above 0. Suggested: 0.01.
        step: of ``sparsity``: a level as share of the smallest unit's weights. Suggested: 0.05.
        max_level: levels away from the target at most. Suggested: 3.
        points: random points that keep the budget, at least 3. Suggested: 200.
        num_samples: training samples of the fitness. Suggested: as in a search's last stage.
        pieces: parts into which the points are cut, measured side by side.

    Needs:
        As ``evopress``; and layers that are linear, or plain convolutions.

    Measured:
        Digits, residual network of 8 layers of 64, their weights pruned to a fifth, 200 points, 5
        seeds: rank correlation with the divergence on validation samples .40 for the sum of layer
        errors (.21 to .63), .65 for the divergence on 8 training samples, .987 on 512 (.98 to
        .99); with the loss .36, .64, .98. Pearson's are alike. By SparseGPT .58 for layer errors,
        .97 on 512 samples; rounded to 3 bits .50 and .91. 2.3 s (one CPU core, shared).

    Source:
        O. Sieberling, D. Kuznedelev, E. Kurtic, D. Alistarh, "EvoPress: Towards Optimal Dynamic
        Model Compression via Evolutionary Search", 2024, arXiv 2410.14649, which shows that
        errors of models are not monotone in those of layers; normalised as in the authors' code.

    Raises:
        ValueError: an option is out of range, or the model has not the units.
    """

    def __init__(
        self,
        run: str = "model",
        space: Literal["sparsity", "bits"] = "sparsity",
        target: Annotated[float, Field(gt=0)] = 0.5,
        units: Sequence[str] | None = None,
        compressor: Compressor | None = None,
        damping: Annotated[float, Field(gt=0)] = 0.01,
        step: Annotated[float, Field(gt=0, lt=1)] = 0.05,
        max_level: Annotated[int, Field(ge=1)] = 3,
        points: Annotated[int, Field(ge=3)] = 200,
        num_samples: Annotated[int, Field(ge=1)] = 512,
        pieces: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        self.run_name = run
        self.compression = Compression(
            space, target, tuple(units or ()), compressor, damping, step=step, max_level=max_level
        )
        self.points = points
        self.num_samples = num_samples
        self.pieces = pieces

    def check(self, inputs: Inputs) -> None:
        """The model has units that can be measured, and there are samples enough."""
        run = inputs.run(self.run_name)
        model = run.model()
        self.compression.space_of(model)
        refuse_without_columns(self.compression.units_of(model))
        available = len(run.table("train"))
        if self.num_samples > available:
            raise ValueError(f"num_samples asks for {self.num_samples} of {available} samples")

    def run(self, context: ProcedureContext) -> dict[str, float]:
        """Compress layers, measure them and random points, correlate, draw."""
        database = built(context, context.run(self.run_name), self.compression)
        space = self.compression.space_of(database.run.model())
        random = np.random.default_rng(context.rng("points").initial_seed())
        points = different(partial(random_point, space, random), space, self.points)
        told = {
            "layer_errors": self._sums(context, database, points),
            "fitness": self._measured(context, database, points, "fitness"),
        }
        outcomes = {
            name: self._measured(context, database, points, name) for name in ("kl", "loss")
        }
        table = {**told, **outcomes}
        for index in range(len(points)):
            context.log({name: values[index] for name, values in table.items()}, step=index)
        context.folder.write_json("points.json", {"points": points, **table})
        context.log_figure("correlations", draw(told, outcomes["kl"]))
        return correlations(told, outcomes)

    def _sums(
        self, context: ProcedureContext, database: Database, points: Sequence[Point]
    ) -> list[float]:
        parts = context.map(database.errors, parts_of(database), name="errors")
        errors = {name: of_level for part in parts for name, of_level in part.items()}
        context.folder.write_json("errors.json", errors)
        return [
            sum(errors[name][str(level)] for name, level in zip(errors, point, strict=True))
            for point in points
        ]

    def _measured(
        self, context: ProcedureContext, database: Database, points: list[Point], name: str
    ) -> list[float]:
        if name == "fitness":
            available = len(database.run.table("train"))
            rows = torch.randperm(available, generator=context.rng("rows"))[: self.num_samples]
            evaluation = Evaluation(database, rows=rows)
        else:
            evaluation = Evaluation(database, "kl" if name == "kl" else "loss", split="validation")
        return side_by_side(context, evaluation, points, self.pieces, name)


def draw(told: Mapping[str, Sequence[float]], outcome: Sequence[float]) -> Figure:
    """The divergence of each point over what tells it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(1, len(told), sharey=True)
    for axes, (name, values) in zip(panels, told.items(), strict=True):
        axes.scatter(values, outcome, s=8)
        axes.set_xlabel(name.replace("_", " "))
    panels[0].set_ylabel("divergence on validation samples")
    return figure
