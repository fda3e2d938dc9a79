"""What a search has found: scored paths, the front of score against size, and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from trainwright_strategies.supernets.space import Path, PathSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Scored:
    """A path with what is known of it.

    Attributes:
        path: the path.
        score: with inherited weights; the larger the better.
        parameters: weights of the architecture alone.
        latency_ms: of a forward pass; None where it was not measured.
    """

    path: Path
    score: float
    parameters: int
    latency_ms: float | None = None


def ranked(scored: Sequence[Scored]) -> list[Scored]:
    """The best first; of equal scores the one with fewer weights, then the first path."""
    return sorted(scored, key=lambda one: (-one.score, one.parameters, one.path))


def front(scored: Sequence[Scored]) -> list[Scored]:
    """Those than which no smaller one, or equally small one, scores as well; the smallest first.

    Example:
        >>> paths = [Scored((0,), 0.5, 10), Scored((1,), 0.4, 20), Scored((2,), 0.9, 30)]
        >>> [one.path for one in front(paths)]
        [(0,), (2,)]
    """
    found: list[Scored] = []
    for one in sorted(scored, key=lambda one: (one.parameters, -one.score, one.path)):
        if not found or one.score > found[-1].score:
            found.append(one)
    return found


def table(scored: Sequence[Scored], space: PathSpace, goal: int) -> list[dict[str, Any]]:
    """All of them as plain values, the best first, scores as the metric has them."""
    best = set(front(scored))
    return [
        {
            "path": list(one.path),
            "operations": space.name(one.path),
            "score": goal * one.score if math.isfinite(one.score) else None,
            "parameters": one.parameters,
            "latency_ms": one.latency_ms,
            "on_front": one in best,
        }
        for one in ranked(scored)
    ]


def draw_scores(scored: Sequence[Scored], metric: str, goal: int) -> Figure:
    """Score against number of weights, with the front and the best."""
    figure, axes = _figure()
    edge, best = front(scored), ranked(scored)[0]
    axes.scatter(*_points(scored, goal), s=12, color="0.7", label="scored")
    axes.plot(*_points(edge, goal), marker="o", markersize=4, label="front")
    axes.scatter(*_points([best], goal), s=90, marker="*", color="C3", zorder=3, label="found")
    axes.set_xlabel("parameters")
    axes.set_ylabel(f"{metric} with inherited weights")
    axes.legend(frameon=False)
    return figure


def draw_progress(scored: Sequence[Scored], metric: str, goal: int) -> Figure:
    """The best score so far over the number of paths scored, in their order."""
    figure, axes = _figure()
    scores = [one.score for one in scored]
    numbers = range(1, len(scores) + 1)
    axes.scatter(numbers, [goal * score for score in scores], s=8, color="0.7", label="scored")
    best = [goal * score for score in accumulate(scores, max)]
    axes.step(numbers, best, where="post", label="best so far")
    axes.set_xlabel("paths scored")
    axes.set_ylabel(f"{metric} with inherited weights")
    axes.legend(frameon=False)
    return figure


def _points(scored: Sequence[Scored], goal: int) -> tuple[list[int], list[float]]:
    return [one.parameters for one in scored], [goal * one.score for one in scored]


def _figure() -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.3), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
