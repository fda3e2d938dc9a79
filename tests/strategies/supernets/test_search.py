"""Searches over paths with a known score: what they propose, and how often the best is found."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from trainwright_strategies.supernets.limits import Limits, least
from trainwright_strategies.supernets.ranking import Scored, front, ranked, table
from trainwright_strategies.supernets.search import Evolution, RandomSearch, Search
from trainwright_strategies.supernets.space import Path, PathSpace

SPACE = PathSpace(("a", "b", "c", "d", "e"), edges=5)
BUDGET = 250


def everything(path: Path) -> bool:
    return True


def landscape(seed: int) -> list[list[float]]:
    values: list[list[float]] = torch.rand(
        5, 5, generator=torch.Generator().manual_seed(seed)
    ).tolist()
    return values


def score(path: Path, values: list[list[float]]) -> float:
    """A sum over edges, less where neighbours are alike: no edge can be chosen alone."""
    total = sum(values[edge][one] for edge, one in enumerate(path))
    return total - 0.2 * sum(a == b for a, b in pairwise(path))


def carried_out(search: Search, seed: int, budget: int = BUDGET) -> dict[Path, float]:
    values, found = landscape(seed), dict[Path, float]()
    while len(found) < budget:
        random = torch.Generator().manual_seed(1000 * seed + len(found))
        paths = search.propose(min(search.size, budget - len(found)), random)
        if not paths:
            break
        assert not found.keys() & set(paths), "a path was proposed twice"
        scores = [score(path, values) for path in paths]
        search.learn(paths, scores)
        found |= dict(zip(paths, scores, strict=True))
    return found


def optimum(seed: int) -> float:
    values = landscape(seed)
    return max(score(path, values) for path in SPACE.all())


def test_evolution_finds_the_optimum_more_often_than_random_search() -> None:
    seeds = range(8)
    best = {seed: optimum(seed) for seed in seeds}
    evolved = [carried_out(Evolution(SPACE, everything, 32, 8, 8), seed) for seed in seeds]
    drawn = [carried_out(RandomSearch(SPACE, everything), seed) for seed in seeds]
    assert all(len(found) == BUDGET for found in (*evolved, *drawn))
    hits = [
        sum(max(found.values()) == best[seed] for seed, found in enumerate(kind))
        for kind in (evolved, drawn)
    ]
    assert hits[0] >= 7
    assert hits[1] <= 2


def test_the_oldest_members_leave_whatever_their_score() -> None:
    search = Evolution(SPACE, everything, population=3, tournament=2, offspring=2)
    first = search.propose(3, torch.Generator().manual_seed(0))
    search.learn(first, [9.0, 1.0, 2.0])
    children = search.propose(2, torch.Generator().manual_seed(1))
    search.learn(children, [0.0, 0.5])
    assert list(search.members) == [(first[2], 2.0), (children[0], 0.0), (children[1], 0.5)]


def distance(first: Path, second: Path) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))


def test_children_differ_from_the_winner_at_one_edge_unless_they_are_known() -> None:
    walked = 0
    for seed in range(40):
        search = Evolution(SPACE, everything, population=6, tournament=200, offspring=12)
        members = search.propose(search.size, torch.Generator().manual_seed(0))
        search.learn(members, [0.0, 0.0, 0.0, 5.0, 0.0, 0.0])
        known = sum(distance(member, members[3]) == 1 for member in members)
        assert search.size == 12
        (child,) = search.propose(1, torch.Generator().manual_seed(seed))
        walked += distance(child, members[3]) == 2
        assert distance(child, members[3]) in (1, 2)
    assert known == 1, "of 20 neighbours"
    assert 0 < walked < 8


def test_a_small_space_is_searched_to_its_end() -> None:
    space = PathSpace(("a", "b"), edges=3)
    for search in (
        RandomSearch(space, everything),
        Evolution(space, everything, 2, 2, 2),
        Search(space, everything, space.all()),
    ):
        proposed: list[Path] = []
        random = torch.Generator().manual_seed(0)
        while paths := search.propose(3, random):
            search.learn(paths, [float(sum(path)) for path in paths])
            proposed += paths
        assert sorted(proposed) == list(space.all())


def test_only_paths_that_fit_are_proposed_the_first_ones_first() -> None:
    def fits(path: Path) -> bool:
        return sum(path) <= 8

    allowed = [path for path in SPACE.all() if fits(path)]
    assert len(allowed) < SPACE.count / 3
    first = (0, 0, 0, 0, 0)
    for search in (
        Search(SPACE, fits, SPACE.all()),
        RandomSearch(SPACE, fits, [first]),
        Evolution(SPACE, fits, 4, 2, 8, [first]),
    ):
        found = carried_out(search, seed=0)
        assert next(iter(found)) == first
        assert set(found) <= set(allowed)
        assert len(found) == BUDGET


def test_the_least_is_found_edge_by_edge() -> None:
    values = landscape(3)
    path, cost = least(SPACE, lambda path: -sum(values[e][o] for e, o in enumerate(path)))
    assert path == tuple(row.index(max(row)) for row in values)
    assert cost == pytest.approx(-sum(map(max, values)))


def test_limits() -> None:
    limits = Limits(max_parameters=10, max_latency_ms=2.0)
    assert [limits.small_enough(n) for n in (10, 11)] == [True, False]
    assert [limits.fast_enough(t) for t in (2.0, 2.1)] == [True, False]
    assert Limits().small_enough(10**9)
    assert Limits().fast_enough(1e9)


def test_ranking_and_front() -> None:
    scored = [
        Scored((0,), 0.5, 30),
        Scored((1,), 0.9, 20),
        Scored((2,), 0.9, 10),
        Scored((3,), 0.95, 40, 1.5),
        Scored((4,), 0.2, 5),
        Scored((5,), 0.1, 5),
    ]
    assert [one.path[0] for one in ranked(scored)] == [3, 2, 1, 0, 4, 5]
    assert [one.path[0] for one in front(scored)] == [4, 2, 3]
    for one in scored:  # by the definition
        beaten = any(
            other.score >= one.score
            and other.parameters <= one.parameters
            and (other.score, -other.parameters) != (one.score, -one.parameters)
            for other in scored
        )
        assert beaten is (one not in front(scored))
    rows = table([Scored((1, 0), -0.5, 7), Scored((0, 0), float("-inf"), 8)], SPACE, goal=-1)
    assert rows[0] == {
        "path": [1, 0],
        "operations": "b|a",
        "score": 0.5,
        "parameters": 7,
        "latency_ms": None,
        "on_front": True,
    }
    assert rows[1]["score"] is None
