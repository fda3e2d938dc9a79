"""Which learning rate is best at each size of a network, and how far it drifts with the size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trainwright.procedure import Inputs, Procedure, ProcedureContext, TrainedRun
from trainwright.suggest import one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Mapping[float, float]
"""Learning rate -> loss."""


def best_rate(curve: Curve) -> float:
    """The rate of the smallest loss, the lower one of equal ones; a loss that is NaN is none.

    Example:
        >>> best_rate({0.1: 2.0, 0.2: 1.0, 0.4: math.nan})
        0.2
    """
    return min(sorted(curve), key=lambda rate: math.inf if math.isnan(curve[rate]) else curve[rate])


def drift(curves: Mapping[int, Curve]) -> float:
    """log2 of the largest network's best rate over the smallest one's."""
    return math.log2(best_rate(curves[max(curves)]) / best_rate(curves[min(curves)]))


def num_at_edge(curves: Mapping[int, Curve]) -> int:
    """For how many sizes the best rate is at an end of the grid, so that it may lie beyond."""
    return sum(best_rate(curve) in (min(curve), max(curve)) for curve in curves.values())


@dataclass
class Loss:
    """Measures the loss of one run; it can travel to another process."""

    split: str

    def __call__(self, run: TrainedRun) -> float:
        """The objective on the run's own samples."""
        return run.evaluate(self.split)["loss"]


class LrTransferCurve(Procedure):
    """Find the best learning rate at each size of a network, and whether it transfers.

    Of a grid of runs over sizes and learning rates: a rate that was tuned on a small network can
    be used for a large one if the curves of loss over rate have their lowest points at the same
    rate, as under ``mup``. Otherwise the best rate drifts, as a rule down.

    Equation:
        best(N) = the rate of the grid with the smallest loss at size N, a mean over runs
        ``drift`` = log2(best(largest N) / best(smallest N)); 0: it transfers

    Args:
        size: where the jobs of the runs give the size, ``model.hidden`` or ``model.dim``; of a
            list the last number counts.
        split: samples on which the loss is measured, ``train``, ``validation`` or ``test``.

    Needs:
        In the section runs a run for each size and each rate of the grid (``optimizer.lr``), the
        same rates for every size, at least two sizes and three rates; with several runs in one
        place, of other seeds, their mean counts. A rate may diverge if the runs say
        ``training.on_non_finite: ignore``. It gives ``drift``, ``log2_rate/N`` and ``loss/N`` of
        each size's best rate, and ``num_at_edge``, the sizes whose best rate is the first or last
        of the grid: then the grid is too narrow.

    Measured:
        A run costs one evaluation. Digits, MLP of two hidden layers, Adam, 16 updates of 512
        images, rates in steps of 2, from width 32 to 256, 5 seeds: drift -2.4 (95 % interval -3.1
        to -1.7), with ``mup`` -0.2 (-0.8 to 0.4).

    Source:
        L. Noci, A. Meterez, T. Hofmann, A. Orvieto, "Why do Learning Rates Transfer? Reconciling
        Optimization and Scaling Limits for Deep Learning", 2024, arXiv 2402.17457; curves as in
        G. Yang et al., "Tensor Programs V", 2022, arXiv 2203.03466, figure 1.

    Raises:
        ValueError: the runs are no grid.
    """

    def __init__(self, size: str, split: Literal["train", "validation", "test"] = "train") -> None:
        if split not in ("train", "validation", "test"):
            raise ValueError(f"split must be train, validation or test, got {split!r}")
        self.size = size
        self.split = split

    def check(self, inputs: Inputs) -> None:
        """The runs are a grid."""
        grid = self._grid(inputs)
        sizes, rates = sorted({size for size, _ in grid}), sorted({rate for _, rate in grid})
        if len(sizes) < 2 or len(rates) < 3:
            raise ValueError(
                "the runs must have at least two sizes and three rates, got sizes "
                f"{sizes} and rates {rates}"
            )
        missing = [f"{s} at {r:g}" for s in sizes for r in rates if (s, r) not in grid]
        if missing:
            raise ValueError(f"every size needs every rate, there is no run of {one_of(missing)}")

    def _grid(self, inputs: Inputs) -> dict[tuple[int, float], list[TrainedRun]]:
        found: dict[tuple[int, float], list[TrainedRun]] = {}
        for run in inputs.runs.values():
            job = run.job.model_dump(mode="json")
            size, rate = _number(job, self.size, run), _number(job, "optimizer.lr", run)
            found.setdefault((int(size), float(rate)), []).append(run)
        return found

    def run(self, context: ProcedureContext) -> dict[str, float]:
        """Measure, draw, tell."""
        places = [(place, run) for place, runs in self._grid(context).items() for run in runs]
        losses = context.map(Loss(self.split), [run for _, run in places], name="loss")
        measured: dict[tuple[int, float], list[float]] = {}
        for (place, _), loss in zip(places, losses, strict=True):
            measured.setdefault(place, []).append(loss)
        curves: dict[int, dict[float, float]] = {}
        for (size, rate), values in sorted(measured.items()):
            curves.setdefault(size, {})[rate] = sum(values) / len(values)
        context.folder.write_json("curves.json", {str(n): [*c.items()] for n, c in curves.items()})
        context.log_figure("curves", draw(curves, self.size))
        found = {"drift": drift(curves), "num_at_edge": float(num_at_edge(curves))}
        for size, curve in curves.items():
            best = best_rate(curve)
            found |= {f"log2_rate/{size}": math.log2(best), f"loss/{size}": curve[best]}
        return found


def _number(job: Any, path: str, run: TrainedRun) -> float:
    """What a run's job says at a path; of a list its last number."""
    value = job
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, Sequence) and value:
        value = value[-1]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"the job of run {run.name} gives no number as {path}")
    return value


def draw(curves: Mapping[int, Curve], size: str) -> Figure:
    """Loss over learning rate, a line for each size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.3), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    for number, curve in curves.items():
        (line,) = axes.plot(*zip(*sorted(curve.items()), strict=True), marker="o", label=number)
        axes.axvline(best_rate(curve), color=line.get_color(), linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.legend(title=size, frameon=False)
    return figure
