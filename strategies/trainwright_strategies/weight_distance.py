"""How far the weights have moved from where they started, and by which law of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from trainwright.strategy import Context, Declares, Step, Strategy
from trainwright_objectives.options import check_whole


class LineFit(NamedTuple):
    """A straight line through points, by least squares.

    Attributes:
        slope: of the line.
        r2: share of the variance of y that it explains, at most 1; 1 where y does not vary.
    """

    slope: float
    r2: float


def line_fit(x: Sequence[float], y: Sequence[float]) -> LineFit:
    """Fit y = intercept + slope * x to at least two points with different x."""
    mean_x, mean_y = fmean(x), fmean(y)
    var_x = sum((a - mean_x) ** 2 for a in x)
    var_y = sum((b - mean_y) ** 2 for b in y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    r2 = covariance**2 / (var_x * var_y) if var_y > 0 else 1.0
    return LineFit(covariance / var_x, r2)


def is_measured(update: int, points_per_decade: int) -> bool:
    """Whether update ``update`` (from 1) is the one nearest to a point evenly spaced in log t."""
    point = round(points_per_decade * math.log10(update))
    return any(
        round(10 ** (k / points_per_decade)) == update for k in (point - 1, point, point + 1)
    )


def distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """L2 norm of the difference of two sets of weights, added up in float64."""
    squares = [
        (value.double() - second[name].double()).square().sum() for name, value in first.items()
    ]
    return float(torch.stack(squares).sum().sqrt())


class WeightDistance(Strategy):
    """Measure how far the weights are from their start, and whether that grows like log t.

    A probe: it records, changes nothing, and tells an ultra-slow walk, whose distance grows with
    the logarithm of the number of updates, from an ordinary one, which grows with its root. If it
    is the logarithm, what counts is how many updates are made, and a large batch that makes few
    needs to train longer (``regime_adaptation``).

    Equation:
        d_t = ||w_t - w_0||, over all trainable parameters, for t evenly spaced in log t.
        Line fits over all d so far: d against log t (``log_slope``, ``log_r2``), and d against
        the root of t (``sqrt_r2``).

    Args:
        points_per_decade: measurements between t and 10 t. Suggested: 20.

    Needs:
        Memory for one further copy of the weights on every worker, which is in checkpoints too.
        The law is that of the first part of training, at a constant rate: look at the curve
        before the rate falls.

    Measured:
        Too cheap to measure with one worker (ratio of whole runs 0.9 to 1.2, within their noise).
        Digits (1024 images), MLP 256-256-256 with batch normalisation, SGD with momentum at a
        constant rate, 640 updates, 2 seeds, share of variance explained by log t and by the root
        of t: batch 32: .97 and .78; batch 512: .81 and .49; with ``sqrt_lr_scaling``: .76 and
        .43. The logarithm fits better everywhere; a clean line it is not. So it is in
        ``regime_adaptation.yaml``, where the rate falls: batch 32: .97 and .76.

    Source:
        E. Hoffer, I. Hubara, D. Soudry, "Train longer, generalize better: closing the
        generalization gap in large batch training of neural networks", 2017, arXiv 1705.08741,
        section 3.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True)

    def __init__(self, points_per_decade: Annotated[int, Field(ge=1)] = 20) -> None:
        check_whole("points_per_decade", points_per_decade)
        self.points_per_decade = points_per_decade
        self._start: dict[str, Tensor] = {}
        self._updates: list[int] = []
        self._distances: list[float] = []

    def begin(self, context: Context) -> None:
        """Note where to record."""
        self._context = context

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Before the first update, keep the weights."""
        if not self._start:
            weights = step.master()
            self._start = {n: w.detach().to("cpu", copy=True) for n, w in weights.items()}
        take()

    def updated(self, step: Step) -> None:
        """Measure when it is time."""
        update = step.index + 1
        if not is_measured(update, self.points_per_decade):
            return
        now = {name: weight.detach().cpu() for name, weight in step.master().items()}
        self._updates.append(update)
        self._distances.append(distance(self._start, now))
        self._context.log({"weight_distance": self._distances[-1], **self._fits()})

    def _fits(self) -> dict[str, float]:
        if len(self._updates) < 3:
            return {}
        log = line_fit([math.log(t) for t in self._updates], self._distances)
        root = line_fit([math.sqrt(t) for t in self._updates], self._distances)
        return {
            "weight_distance/log_slope": log.slope,
            "weight_distance/log_r2": log.r2,
            "weight_distance/sqrt_r2": root.r2,
        }

    def state_dict(self) -> dict[str, Any]:
        """The weights at the start, and what was measured."""
        return {
            "start": dict(self._start),
            "updates": list(self._updates),
            "distances": list(self._distances),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._start = dict(state["start"])
        self._updates = [int(update) for update in state["updates"]]
        self._distances = [float(value) for value in state["distances"]]
