"""The search of compression levels: budget, draws, selection, known optima."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from trainwright_strategies.compression.evolution import (
    Point,
    Space,
    Stages,
    different,
    fittest,
    mutated,
    num_switches,
    random_point,
    switched,
)
from trainwright_strategies.compression.workbench import kl_divergence

SPACES = {
    "sparsity": Space((0,) * 6, (-3,) * 6, (3, 3, 1, 3, 3, 0), (tuple(range(6)),)),
    "bits": Space((4,) * 5, (1,) * 5, (7,) * 5, ((0, 2, 4), (1, 3))),
    "drop": Space((0, 0, 0, 1, 1, 1, 1), (0,) * 7, (1,) * 7, (tuple(range(7)),)),
    "sub-blocks": Space((0, 0, 1, 1, 1, 1), (0,) * 6, (1,) * 6, ((0, 2, 4), (1, 3, 5))),
}
HALF_BITS = Space(
    start=(3,) * 5,
    lowest=(1,) * 5,
    highest=(5,) * 5,
    groups=((0, 2, 4), (1, 3)),
    sizes=(10, 40, 10, 40, 10),
    budget=int(2.5 * 110),
)


@pytest.mark.parametrize("name", SPACES)
def test_mutations_keep_the_budget_of_each_group_and_the_bounds(name: str) -> None:
    space, random = SPACES[name], np.random.default_rng(0)
    point, seen = space.start, set()
    for _ in range(10_000):
        point = switched(point, space, random)
        for group in space.groups:
            assert sum(point[unit] for unit in group) == sum(space.start[unit] for unit in group)
        assert all(low <= c for low, c in zip(space.lowest, point, strict=True))
        assert all(c <= high for c, high in zip(point, space.highest, strict=True))
        seen.add(point)
    assert len(seen) > 8


def test_number_of_switches() -> None:
    random = np.random.default_rng(0)
    drawn = np.bincount([num_switches(random) for _ in range(90_000)], minlength=4) / 90_000
    np.testing.assert_allclose(drawn, [0, 5 / 9, 3 / 9, 1 / 9], atol=0.005)


def test_a_switch_draws_both_units_evenly_and_may_be_void() -> None:
    space = Space((0, 0, 0), (-1, -1, 0), (1, 1, 1), ((0, 1, 2),))
    random = np.random.default_rng(1)
    found = [switched(space.start, space, random) for _ in range(12_000)]
    # Down: unit 0 or 1; up: any of the three.
    assert sum(point == space.start for point in found) / 12_000 == pytest.approx(1 / 3, abs=0.02)
    assert set(found) == {(0, 0, 0), (-1, 1, 0), (1, -1, 0), (-1, 0, 1), (0, -1, 1)}


def test_where_nothing_can_move_nothing_does() -> None:
    space = Space((1, 1), (1, 1), (1, 1), ((0, 1),))
    random = np.random.default_rng(0)
    assert different(partial(mutated, (1, 1), space, random), space, 4) == [(1, 1)]


def test_children_differ_and_stay_near_the_start() -> None:
    space = Space((0,) * 5, (-3,) * 5, (3,) * 5, (tuple(range(5)),), max_total_deviation=4)
    random = np.random.default_rng(0)
    children = different(partial(random_point, space, random), space, 20)
    assert len(set(children)) == len(children) == 20
    assert max(sum(map(abs, child)) for child in children) == 4


def test_points_of_broken_budgets_are_lowered_to_just_below_and_stay_there() -> None:
    random = np.random.default_rng(0)
    points = different(partial(random_point, HALF_BITS, random), HALF_BITS, 20)
    assert len(points) == 20
    sizes = np.array(HALF_BITS.sizes)
    for point in points:
        bits = int(np.array(point) @ sizes)
        # The step that was last took it from above the budget to where it is.
        assert HALF_BITS.budget - max(sizes) < bits <= HALF_BITS.budget
        assert all(1 <= level <= 3 for level in point)
        child = mutated(point, HALF_BITS, random)
        assert int(np.array(child) @ sizes) == bits


def test_of_equal_fitness_the_first_stays() -> None:
    points = [(3,), (1,), (2,)]
    assert fittest(points, [0.5, 0.1, 0.1], 2) == [(1,), (2,)]


def test_stages_narrow_down_and_the_parent_joins_the_last_alone() -> None:
    seen: list[tuple[int, list[Point], int]] = []

    def evaluate(stage: int, points: list[Point], samples: int) -> list[float]:
        seen.append((stage, points, samples))
        return [float(point[0]) for point in points]

    stages = Stages((2, 1), (10, 80))
    assert stages.select([(0,)], [(5,), (2,), (9,)], evaluate) == ([(0,)], 0.0)
    assert seen == [(0, [(5,), (2,), (9,)], 10), (1, [(2,), (5,), (0,)], 80)]
    assert stages.select([(2,)], [(5,), (2,), (9,)], evaluate) == ([(2,)], 2.0)
    assert seen[-1] == (1, [(2,), (5,)], 80), "it is there already"
    # One stage only, with the same number of survivors as any last one.
    assert Stages((1,), (5,)).select([(1,)], [(4,)], evaluate) == ([(1,)], 1.0)
    # A population of two: both take part.
    several = Stages((3, 2), (10, 80)).select([(4,), (1,)], [(5,), (2,), (9,), (8,)], evaluate)
    assert several == ([(1,), (2,)], 1.0)
    assert seen[-1] == (1, [(2,), (5,), (8,), (4,), (1,)], 80)


def test_one_child_and_one_stage_are_a_randomised_local_search() -> None:
    space, costs = SPACES["sparsity"], np.random.default_rng(5).random(6)
    random, reference = np.random.default_rng(3), np.random.default_rng(3)
    point = expected = space.start
    for _ in range(200):
        (child,) = different(partial(mutated, point, space, random), space, 1)
        (point,), _ = Stages((1,), (1,)).select(
            [point], [child], lambda stage, points, samples: [float(costs @ p) for p in points]
        )
        tried = mutated(expected, space, reference)
        expected = tried if costs @ tried <= costs @ expected else expected
        assert point == expected
    assert costs @ point < costs @ space.start


def generations_until(
    best: Callable[[Point], bool], fitness: Callable[[Point], float], space: Space, seed: int
) -> tuple[int, list[float]]:
    """Generations of a search with 8 children until it is at a best point, and the parents'."""
    random, parent = np.random.default_rng(seed), space.start
    trace = [fitness(parent)]
    stages = Stages((1,), (1,))
    for generation in range(200):
        if best(parent):
            return generation, trace
        children = different(partial(mutated, parent, space, random), space, 8)
        (parent,), value = stages.select(
            [parent], children, lambda stage, points, samples: [fitness(p) for p in points]
        )
        trace.append(value)
    raise AssertionError("not found in 200 generations")


def test_a_linear_fitness_is_solved_and_parents_never_get_worse() -> None:
    """Of 12 blocks the 4 that cost least to drop."""
    space = Space((0,) * 4 + (1,) * 8, (0,) * 12, (1,) * 12, (tuple(range(12)),))
    needed = []
    for seed in range(50):
        costs = np.random.default_rng(100 + seed).random(12)
        least = set(np.argsort(costs)[:4])
        generations, trace = generations_until(
            lambda point, least=least: {i for i, kept in enumerate(point) if not kept} == least,
            lambda point, costs=costs: float(costs[np.array(point) == 0].sum()),
            space,
            seed,
        )
        needed.append(generations)
        assert all(after <= before for before, after in itertools.pairwise(trace))
    assert np.mean(needed) < 15


def test_the_best_blocks_of_a_network_are_found() -> None:
    """Against all 56 ways to drop 3 of 8 blocks."""
    space = Space((0,) * 3 + (1,) * 5, (0,) * 8, (1,) * 8, (tuple(range(8)),))
    for seed in range(20):
        torch.manual_seed(seed)
        blocks, head = [nn.Linear(16, 16) for _ in range(8)], nn.Linear(16, 5)
        inputs = torch.randn(64, 16)

        def logits(point: Point, blocks=blocks, head=head, inputs=inputs) -> torch.Tensor:
            z = inputs
            for kept, block in zip(point, blocks, strict=True):
                z = z + torch.tanh(block(z)) if kept else z
            return head(z)

        with torch.no_grad():
            whole = logits((1,) * 8)
            every = {
                tuple(int(i not in dropped) for i in range(8)): 0.0
                for dropped in itertools.combinations(range(8), 3)
            }
            for point in every:
                every[point] = float(kl_divergence(whole, logits(point)))
        best = min(every, key=every.__getitem__)
        generations, _ = generations_until(
            lambda point, best=best: point == best, every.__getitem__, space, seed
        )
        assert generations <= 100
