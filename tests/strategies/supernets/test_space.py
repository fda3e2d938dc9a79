"""Paths: uniform draws, neighbours, everything once, refusals."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from trainwright_strategies.supernets.space import PathSpace

SPACE = PathSpace(("skip", "small", "large"), edges=4)


def drawn(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [SPACE.random(generator) for _ in range(count)]


def test_all_are_there_once_in_order() -> None:
    paths = list(SPACE.all())
    assert paths == sorted(set(paths))
    assert len(paths) == SPACE.count == 81


def test_draws_are_uniform_over_paths_and_repeatable() -> None:
    counts = Counter(drawn(81 * 40))
    assert set(counts) == set(SPACE.all())
    assert chisquare(list(counts.values())).pvalue > 0.001
    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(5, seed=1)


def test_mutations_are_the_neighbours_all_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    path = (0, 1, 2, 2)
    counts = Counter(SPACE.mutate(path, generator) for _ in range(8 * 60))
    neighbours = {
        other for other in SPACE.all() if sum(a != b for a, b in zip(path, other, strict=True)) == 1
    }
    assert set(counts) == neighbours
    assert len(neighbours) == 8
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_crossover_takes_each_edge_from_either() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (0, 0, 1, 2), (2, 1, 1, 0)
    counts = Counter(SPACE.crossover(first, second, generator) for _ in range(8 * 60))
    assert set(counts) == {(a, b, 1, d) for a in (0, 2) for b in (0, 1) for d in (2, 0)}
    assert chisquare(list(counts.values())).pvalue > 0.001


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ((0, 1, 2), "for each of 4 edges, got 3"),
        ((0, 1, 2, 3), r"no operation 3; allowed: 0 \(skip\), 1 \(small\)"),
        ((0, -1, 2, 2), "no operation -1"),
    ],
)
def test_no_path(path: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.check(path)


def test_a_path_is_checked_and_named() -> None:
    assert SPACE.check([2, 0, 1, 1]) == (2, 0, 1, 1)
    assert SPACE.name((2, 0, 1, 1)) == "large|skip|small|small"


@pytest.mark.parametrize(
    ("operations", "edges"), [((), 1), (("a", "a"), 1), (("a",), 0)], ids=["none", "twice", "edges"]
)
def test_no_space(operations: tuple[str, ...], edges: int) -> None:
    with pytest.raises(ValueError, match="a space needs"):
        PathSpace(operations, edges)


def test_one_operation_has_no_neighbour() -> None:
    with pytest.raises(ValueError, match="no other path"):
        PathSpace(("only",), 3).mutate((0, 0, 0), torch.Generator())
