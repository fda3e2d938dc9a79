"""The three allocations against worked numbers, brute force and their bounds."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from trainwright_strategies.layers.allocation import (
    Selection,
    feature_choice,
    mutual_choice,
    token_choice,
    zipf_counts,
)

WORKED = torch.tensor([[0.9, 0.1, 0.5, 0.3], [0.2, 0.8, 0.1, 0.0], [0.4, 0.35, 0.6, 0.7]])


def random(rows: int, columns: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator).relu()


def total(affinities: Tensor, mask: Tensor) -> float:
    return float((affinities * mask).sum())


def test_worked_choices() -> None:
    by_token, mutual = token_choice(WORKED, 2), mutual_choice(WORKED, 6)
    assert by_token.nonzero().tolist() == [[0, 0], [0, 2], [1, 0], [1, 1], [2, 2], [2, 3]]
    assert total(WORKED, by_token) == pytest.approx(3.7)
    assert mutual.nonzero().tolist() == [[0, 0], [0, 2], [1, 1], [2, 0], [2, 2], [2, 3]]
    assert total(WORKED, mutual) == pytest.approx(3.9)
    assert mutual.sum(dim=1).tolist() == [2, 1, 3]
    assert feature_choice(WORKED, torch.tensor([2, 1, 2, 1])).equal(mutual)


@pytest.mark.parametrize("seed", range(5))
def test_mutual_choice_is_the_best_of_all_masks(seed: int) -> None:
    affinities = random(3, 4, seed)
    flat = affinities.flatten().tolist()
    best = max(sum(flat[i] for i in chosen) for chosen in combinations(range(12), 5))
    assert total(affinities, mutual_choice(affinities, 5)) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
def test_mutual_choice_beats_the_bounded_ones_at_the_same_budget(seed: int) -> None:
    affinities = random(32, 20, seed)
    mutual = total(affinities, mutual_choice(affinities, 96))
    by_token = total(affinities, token_choice(affinities, 3))
    by_feature = total(affinities, feature_choice(affinities, zipf_counts(96, 20, 1.0, 32)))
    assert mutual > by_token
    assert mutual > by_feature


def test_limits() -> None:
    row = random(1, 30)
    assert mutual_choice(row, 7).equal(token_choice(row, 7))
    affinities = random(6, 5)
    assert feature_choice(affinities, torch.full((5,), 6)).equal(affinities > 0)


def test_counts_are_exact() -> None:
    affinities = random(16, 12)
    counts = torch.arange(12)
    positive = affinities > 0
    columns = feature_choice(affinities, counts).sum(dim=0)
    assert columns.equal(torch.minimum(counts, positive.sum(dim=0)))
    for budget in (1, 50, 150):
        assert mutual_choice(affinities, budget).sum() == min(budget, int(positive.sum()))
    rows = token_choice(affinities, 8).sum(dim=1)
    assert rows.equal(positive.sum(dim=1).clamp(max=8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_numbers_are_never_too_many(dtype: torch.dtype) -> None:
    same = torch.ones(8, 8, dtype=dtype)
    assert mutual_choice(same, 13).sum() == 13
    assert token_choice(same, 3).sum(dim=1).eq(3).all()
    assert feature_choice(same, torch.full((8,), 5)).sum(dim=0).eq(5).all()


def test_nothing_is_chosen_of_nothing() -> None:
    for mask in (
        token_choice(torch.zeros(3, 4), 2),
        mutual_choice(torch.zeros(3, 4), 6),
        feature_choice(torch.zeros(3, 4), torch.full((4,), 2)),
    ):
        assert not mask.any()


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not all numbers"):
        mutual_choice(torch.tensor([[1.0, torch.nan]]), 1)


@pytest.mark.parametrize(
    ("largest", "expected"), [(23, [23, 12, 8, 6, 5, 4, 3, 3]), (16, [16, 14, 9, 7, 6, 5, 4, 3])]
)
def test_worked_zipf_counts(largest: int, expected: list[int]) -> None:
    assert zipf_counts(64, 8, 1.0, largest).tolist() == expected


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0, 2.5])
@pytest.mark.parametrize(("features", "largest"), [(8, 16), (50, 40), (192, 512)])
def test_zipf_counts_keep_their_sum_and_bounds(
    exponent: float, features: int, largest: int
) -> None:
    for budget in (1, features - 1, features, 2 * features, features * largest):
        counts = zipf_counts(budget, features, exponent, largest)
        assert counts.sum() == budget
        assert counts.diff().le(0).all()
        assert counts.max() <= largest
        assert counts.min() >= (1 if budget >= features else 0)


def test_an_exponent_of_zero_shares_evenly() -> None:
    assert zipf_counts(10, 4, 0.0, 9).tolist() == [3, 3, 2, 2]


@pytest.mark.parametrize("rule", ["mutual_choice", "feature_choice"])
def test_thresholds_reproduce_the_batch_they_come_from(rule: str) -> None:
    affinities = random(64, 20)
    selection = Selection(rule, 20, 3)
    selection.counts = zipf_counts(3 * 64, 20, 1.0, 64) if rule == "feature_choice" else None
    codes = selection(affinities)
    selection.note(*selection.last(), 0.9)
    selection.eval()
    assert selection(affinities).equal(codes)
    assert selection(affinities[5:6]).equal(codes[5:6])


def test_running_means() -> None:
    selection = Selection("feature_choice", 3, 1)
    first = torch.tensor([[0.5, 0.0, 2.0], [0.7, 0.0, 1.0]])
    selection.note(first, first > 0, 0.5)
    assert selection.density.tolist() == [1, 0, 1]
    assert selection.idle.tolist() == [0, 2, 0]
    assert selection.threshold.tolist() == [0.5, torch.inf, 1.0]
    second = torch.tensor([[0.9, 0.4, 0.0], [0.0, 0.0, 0.0]])
    selection.note(second, second > 0, 0.5)
    assert selection.density.tolist() == [0.75, 0.25, 0.5]
    assert selection.idle.tolist() == [0, 0, 2]
    torch.testing.assert_close(selection.threshold, torch.tensor([0.7, 0.4, 1.0]))
    assert selection.ranks().tolist() == [0, 2, 1]


def test_gradient_flows_through_what_was_kept_alone() -> None:
    affinities = random(12, 9).requires_grad_()
    selection = Selection("mutual_choice", 9, 2)
    (selection(affinities) @ torch.randn(9, 4)).square().sum().backward()
    mask = selection.chosen
    assert (affinities.grad[~mask] == 0).all()
    assert (affinities.grad[mask] != 0).all()
