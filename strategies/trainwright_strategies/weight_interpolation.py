"""Loss along the straight line between the weights of two trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from trainwright.procedure import Inputs, JobData, Procedure, ProcedureContext, TrainedRun
from trainwright.suggest import one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Split = Literal["train", "validation", "test"]


def between(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """The point of a line that lies at ``share``: 0 is ``first``, 1 is ``second``, both exactly.

    Whole numbers (counters of batches) are those of the nearer end.
    """
    found = {}
    for name, start in first.items():
        end = second[name]
        if start.is_floating_point():
            point = (1 - share) * start.double() + share * end.double()
            found[name] = point.to(start.dtype)
        else:
            found[name] = start if share < 0.5 else end
    return found


def barrier(shares: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """Height and place of the largest rise of the loss above the chord between both ends.

    Args:
        shares: places on the line, with 0 and 1 among them; those outside do not count.
        losses: the loss at each.

    Example:
        >>> barrier([0.0, 0.5, 1.0], [1.0, 3.0, 2.0])
        (1.5, 0.5)
    """
    found = dict(zip(shares, losses, strict=True))
    chord = {share: (1 - share) * found[0.0] + share * found[1.0] for share in found}
    inside = [share for share in found if 0 <= share <= 1]
    place = max(inside, key=lambda share: found[share] - chord[share])
    return found[place] - chord[place], place


@dataclass
class Line:
    """Measures points of the line between two runs; it can travel to another process.

    Attributes:
        first: the run at 0.
        second: the run at 1.
        data: whose samples are measured; None for those of ``first``.
        splits: which of them.
    """

    first: TrainedRun
    second: TrainedRun
    data: JobData | None
    splits: Sequence[str]

    @cached_property
    def _ends(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self.first.model().state_dict(), self.second.model().state_dict()

    def __call__(self, share: float) -> dict[str, float]:
        """Loss and metrics at ``share``, named ``<split>/<name>``."""
        model = self.first.model()
        model.load_state_dict(between(*self._ends, share))
        source = self.data or self.first
        return {
            f"{split}/{name}": value
            for split in self.splits
            for name, value in self.first.evaluate(source.table(split), model).items()
        }


class WeightInterpolation(Procedure):
    """Loss and metrics along the straight line between the weights of two runs.

    Two solutions without a barrier between them lie in one basin: a weight average of them will
    do, and the training that parted them decided little. Runs of different seeds as a rule have
    one; a start and the end of its own training as a rule have none.

    Equation:
        w(s) = (1 - s) * w_first + s * w_second
        barrier = max over s in [0, 1] of loss(w(s)) - ((1 - s) * loss(w(0)) + s * loss(w(1)))

    Args:
        first: name, in the job's section runs, of the run at s = 0.
        second: name of the run at s = 1.
        points: places measured from 0 to 1, both ends included. Suggested: 25.
        margin: how far beyond both ends the line goes on, in the same steps. Suggested: 0.
        splits: samples to measure on, of the data section, or where there is none of the first
            run's own data.

    Needs:
        Two runs of models with the same weights, by name and shape; the objective and the
        metrics are those of the first. Running statistics of batch normalisation are
        interpolated as the weights are. They do not fit the points between, so that with batch
        normalisation a part of the barrier comes from them alone (K. Jordan et al., 2022, arXiv
        2211.08403).

    Measured:
        A point costs one evaluation of the samples and two copies of the weights.

    Source:
        I. J. Goodfellow, O. Vinyals, A. M. Saxe, "Qualitatively Characterizing Neural Network
        Optimization Problems", 2015, arXiv 1412.6544, section 2; the barrier above the chord as
        in R. Entezari, H. Sedghi, O. Saukh, B. Neyshabur, "The Role of Permutation Invariance in
        Linear Mode Connectivity of Neural Networks", 2022, arXiv 2110.06296, definition 2.1.

    Raises:
        ValueError: an option is out of range, or the weights of the runs do not fit.
    """

    def __init__(
        self,
        first: str = "first",
        second: str = "second",
        points: Annotated[int, Field(ge=3)] = 25,
        margin: Annotated[float, Field(ge=0)] = 0.0,
        splits: Sequence[Split] = ("validation",),
    ) -> None:
        if not splits:
            raise ValueError("splits names no samples to measure on")
        self.first = first
        self.second = second
        self.points = points
        self.margin = margin
        self.splits = list(splits)

    @property
    def shares(self) -> list[float]:
        """The places that are measured; exactly 0 and 1 among them."""
        beyond = int(self.margin * (self.points - 1) + 1e-9)
        return [index / (self.points - 1) for index in range(-beyond, self.points + beyond)]

    def check(self, inputs: Inputs) -> None:
        """Both runs are there, and their weights fit."""
        shapes = []
        for name in (self.first, self.second):
            saved = inputs.checkpoint(name)
            shapes.append({one: tuple(saved.shape("param", one)) for one in saved.names("param")})
        differing = [
            name
            for name in {**shapes[0], **shapes[1]}
            if shapes[0].get(name) != shapes[1].get(name)
        ]
        if differing:
            raise ValueError(
                f"runs {self.first} and {self.second} have other weights: {one_of(differing, 4)}"
            )

    def run(self, context: ProcedureContext) -> dict[str, float]:
        """Measure, draw, tell."""
        data = context.data if context.has_data else None
        line = Line(context.run(self.first), context.run(self.second), data, self.splits)
        shares = self.shares
        measured = context.map(line, shares, name="line")
        for index, (share, values) in enumerate(zip(shares, measured, strict=True)):
            context.log({"share": share, **values}, step=index)
        context.folder.write_json("line.json", {"shares": shares, "measured": measured})
        context.log_figure("line", draw(shares, measured, self.splits))
        found = {}
        for split in self.splits:
            losses = [values[f"{split}/loss"] for values in measured]
            height, place = barrier(shares, losses)
            found[f"{split}/barrier"], found[f"{split}/barrier_at"] = height, place
            found[f"{split}/loss_first"] = losses[shares.index(0.0)]
            found[f"{split}/loss_second"] = losses[shares.index(1.0)]
        return found


def draw(
    shares: Sequence[float], measured: Sequence[Mapping[str, float]], splits: Sequence[str]
) -> Figure:
    """The loss along the line, with the chord between both ends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.3), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    for split in splits:
        losses = [values[f"{split}/loss"] for values in measured]
        (drawn,) = axes.plot(shares, losses, marker="o", markersize=3, label=split)
        ends = [losses[shares.index(end)] for end in (0.0, 1.0)]
        axes.plot([0, 1], ends, color=drawn.get_color(), linestyle=":", linewidth=1)
    axes.set_xlabel("share of the second run's weights")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return figure
