"""Grid and random proposals: what they are is known beforehand."""

from __future__ import annotations

import itertools
from typing import Any

from trainwright.search.algorithms.listed import Listed, draws, grid
from trainwright.search.space import Sampler, Space, parse_constraints


def proposals(algorithm: Listed, start: int = 0, most: int = 1000) -> list[dict[str, Any]]:
    found = []
    for number in range(start, most):
        trial = algorithm.propose(number)
        if trial is None:
            break
        found.append(trial)
    return found


def test_a_grid_is_the_product_in_order_within_the_constraints() -> None:
    values: dict[str, Any] = {
        "a": {"choice": [3, 1, 2]},
        "b": {"quantised": [0, 1, 0.5]},
        "c": {"int": [1, 4]},
    }
    sampler = Sampler(Space.parse(values), 0, parse_constraints(["a * c <= 6", "b != 0.5"]))
    wanted = [
        {"a": a, "b": b, "c": c}
        for a, b, c in itertools.product([3, 1, 2], [0.0, 0.5, 1.0], [1, 2, 3, 4])
        if a * c <= 6 and b != 0.5
    ]
    assert proposals(Listed(grid(sampler))) == wanted


def test_a_grid_has_the_options_of_the_chosen_branch_alone() -> None:
    values = {
        "objective": {"choice": ["ce", {"name": "z", "a": {"choice": [1, 2]}}]},
        "lr": {"choice": [0.1, 0.2]},
    }
    space = Space.parse(values)
    inner = next(p.name for p in space.parameters if p.condition is not None)
    wanted = [
        {"objective": "ce", "lr": 0.1},
        {"objective": "ce", "lr": 0.2},
        *({"objective": "z", inner: a, "lr": lr} for a in (1, 2) for lr in (0.1, 0.2)),
    ]
    assert proposals(Listed(grid(Sampler(space, 0)))) == wanted


def test_a_draw_at_random_depends_on_seed_and_number_alone() -> None:
    space = Space.parse({"lr": {"loguniform": [1e-4, 1]}, "k": {"int": [1, 3]}})
    first = proposals(Listed(draws(Sampler(space, 3))), most=30)
    later = proposals(Listed(draws(Sampler(space, 3))), start=20, most=30)
    assert later == first[20:], "as in an attempt that goes on at trial 20"
    assert proposals(Listed(draws(Sampler(space, 4))), most=30) != first


def test_no_draw_comes_twice_and_a_small_space_ends() -> None:
    space = Space.parse({"a": {"choice": [1, 2, 3]}, "b": {"int": [1, 5]}})
    sampler = Sampler(space, 0, parse_constraints(["a + b < 7"]))
    found = proposals(Listed(draws(sampler)))
    wanted = [{"a": a, "b": b} for a in (1, 2, 3) for b in range(1, 6) if a + b < 7]
    assert sorted(found, key=lambda t: (t["a"], t["b"])) == wanted


def test_every_draw_is_crossed_with_the_grid() -> None:
    space = Space.parse({"seed": {"grid": [0, 1, 2]}, "lr": {"uniform": [0, 1]}})
    found = proposals(Listed(draws(Sampler(space, 0))), most=9)
    assert [trial["seed"] for trial in found] == [0, 1, 2] * 3
    assert [len({trial["lr"] for trial in found[i : i + 3]}) for i in (0, 3, 6)] == [1, 1, 1]
