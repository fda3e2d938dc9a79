"""Evolutionary search over the levels of units under a budget that every point keeps exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

Point = tuple[int, ...]
"""The level of each unit."""

_TRIES = 100
"""Draws for each child that is wanted: a small space may not have so many different ones."""


@dataclass(frozen=True)
class Space:
    """The points that a search may visit.

    Attributes:
        start: a point that keeps the budget; with ``budget`` one that is at it or above.
        lowest: level of each unit below which it cannot go.
        highest: level above which it cannot go.
        groups: units between which levels are exchanged; together all of them.
        max_total_deviation: bound on the sum of distances from ``start``; None for none.
        sizes: of the units, where a level counts by them.
        budget: the most that the sum of levels by sizes may be; None: what it is at ``start``.
    """

    start: Point
    lowest: Point
    highest: Point
    groups: tuple[tuple[int, ...], ...]
    max_total_deviation: int | None = None
    sizes: Point = ()
    budget: int | None = None

    def holds(self, point: Point) -> bool:
        """Whether a point is near enough to the start."""
        if self.max_total_deviation is None:
            return True
        deviation = sum(abs(a - b) for a, b in zip(point, self.start, strict=True))
        return deviation <= self.max_total_deviation


def num_switches(random: Generator) -> int:
    """The smaller of two uniform draws from 1, 2, 3."""
    return int(random.integers(1, 4, size=2).min())


def switched(point: Point, space: Space, random: Generator) -> Point:
    """The point after one level switch: a unit one step down, one of the same group one step up.

    Both are drawn from the units that can take the step; they may be the same unit.
    """
    sizes = np.array([len(group) for group in space.groups])
    group = space.groups[int(random.choice(len(sizes), p=sizes / sizes.sum()))]
    down = [unit for unit in group if point[unit] > space.lowest[unit]]
    up = [unit for unit in group if point[unit] < space.highest[unit]]
    if not down or not up:
        return point
    levels = list(point)
    levels[int(random.choice(down))] -= 1
    levels[int(random.choice(up))] += 1
    return tuple(levels)


def mutated(point: Point, space: Space, random: Generator) -> Point:
    """The point after a few level switches."""
    for _ in range(num_switches(random)):
        point = switched(point, space, random)
    return point


def lowered(space: Space, random: Generator) -> Point:
    """The start with units a step down, one drawn after another, until the budget holds."""
    levels, sizes = np.array(space.start), np.array(space.sizes)
    while levels @ sizes > space.budget:
        levels[random.choice(np.flatnonzero(levels > space.lowest))] -= 1
    return tuple(levels.tolist())


def random_point(space: Space, random: Generator) -> Point:
    """The start, lowered into its budget; without one after ten switches for each unit."""
    if space.budget is not None:
        return lowered(space, random)
    point = space.start
    for _ in range(10 * len(point)):
        following = switched(point, space, random)
        point = following if space.holds(following) else point
    return point


def different(draw: Callable[[], Point], space: Space, count: int) -> list[Point]:
    """Up to ``count`` different points that ``draw`` gives, in the order in which it does."""
    found: dict[Point, None] = {}
    for _ in range(_TRIES * count):
        point = draw()
        if space.holds(point):
            found.setdefault(point)
        if len(found) == count:
            break
    return list(found)


def fittest(points: Sequence[Point], fitness: Sequence[float], count: int) -> list[Point]:
    """The ``count`` points of least fitness, the best first; of equals the first."""
    ranking = np.argsort(np.asarray(fitness), kind="stable")[:count]
    return [points[int(index)] for index in ranking]


@dataclass(frozen=True)
class Stages:
    """Selection in stages: many points on few samples, then few on many.

    Attributes:
        survivors: points left after each stage; after the last the population.
        num_samples: samples in each stage, the same for all its points.
    """

    survivors: tuple[int, ...]
    num_samples: tuple[int, ...]

    def select(
        self,
        parents: Sequence[Point],
        children: Sequence[Point],
        evaluate: Callable[[int, list[Point], int], list[float]],
    ) -> tuple[list[Point], float]:
        """The next parents, the best first, and its fitness.

        Args:
            parents: take part in the last stage.
            children: at least one.
            evaluate: stage, points, number of samples -> fitness of each point, the less the
                better.
        """
        left, found = list(children), [0.0]
        planned = zip(self.survivors, self.num_samples, strict=True)
        for stage, (count, samples) in enumerate(planned):
            if stage == len(self.survivors) - 1:
                left += [parent for parent in parents if parent not in left]
            found = evaluate(stage, left, samples)
            left = fittest(left, found, count)
        return left, min(found)
