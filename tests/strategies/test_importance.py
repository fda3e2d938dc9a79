"""Scores, distributions and variances of importance sampling against worked numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from trainwright_strategies.importance import (
    check_tau_schedule,
    correlation,
    draw,
    logit_scores,
    residuals,
    smoothed,
    tau_after,
    trace_variance,
)

LOGITS = torch.tensor([[2.0, 0, -1], [0.5, 0.5, 0.5], [-1, 3, 0]])
TARGET = torch.tensor([0, 2, 0])
GRADIENTS = torch.tensor([[3.0, 0], [0, 1], [1, 1], [0.5, -0.5]], dtype=torch.float64)


def by_autograd(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Row norms of the gradient of the summed loss."""
    logits = logits.clone().requires_grad_()
    loss = functional.cross_entropy(
        logits, target, reduction="sum", label_smoothing=label_smoothing
    )
    return torch.autograd.grad(loss, logits)[0].norm(dim=1)


def close(found: Tensor, expected: list[float] | float, within: float = 1e-6) -> None:
    torch.testing.assert_close(
        found.double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=within
    )


def test_the_score_is_the_norm_of_the_gradient_by_the_logits() -> None:
    scores = logit_scores(LOGITS, TARGET)
    close(scores, [0.198004, 0.816497, 1.358203])
    torch.testing.assert_close(scores, by_autograd(LOGITS, TARGET))
    close(smoothed(scores, 1.0), [0.083451, 0.344121, 0.572429])
    close(smoothed(scores, 0.4), [0.233380, 0.337648, 0.428971])
    extremes = logit_scores(torch.tensor([[60.0, 0, 0], [60.0, 0, 0]]), torch.tensor([1, 0]))
    close(extremes, [math.sqrt(2), 0.0])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_scores_of_random_logits_and_soft_targets(label_smoothing: float) -> None:
    logits = 3 * torch.randn(40, 7, dtype=torch.float64)
    classes, soft = torch.randint(7, (40,)), torch.rand(40, 7, dtype=torch.float64).softmax(1)
    for target in (classes, soft):
        expected = by_autograd(logits, target, label_smoothing)
        found = logit_scores(logits, target, label_smoothing)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)
        single = logit_scores(logits.float(), target, label_smoothing)
        torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-6)


def test_ignored_samples_score_zero() -> None:
    target = torch.tensor([0, 3, 1])
    found = logit_scores(LOGITS, target, ignore_index=3)
    assert found[1] == 0
    torch.testing.assert_close(found[[0, 2]], by_autograd(LOGITS[[0, 2]], target[[0, 2]]))


def test_half_precision_is_scored_in_float32_also_under_autocast() -> None:
    # Differences between these scores are far below what bfloat16 resolves near 1.
    logits = torch.tensor([[8.0, 0, 0], [8.25, 0, 0], [8.5, 0, 0]], dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        scores = logit_scores(logits, torch.ones(3, dtype=torch.int64))
    assert scores.dtype == torch.float32
    assert len(scores.unique()) == 3
    assert not scores.requires_grad
    rounded = logits.float().softmax(1).bfloat16()
    assert len(rounded[:, 0].unique()) == 1


@pytest.mark.parametrize(
    ("logits", "target"),
    [
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(3, 2), torch.zeros(3)),
        (torch.zeros(3, 2), torch.zeros(3, 1)),
        (torch.zeros(3, 4, 2), torch.zeros(3, 4, dtype=torch.int64)),
    ],
)
def test_what_is_no_classifier_is_told(logits: Tensor, target: Tensor) -> None:
    with pytest.raises(ValueError, match=r"logits of shape \(B, C\)"):
        residuals(logits, target)


def variance(probabilities: Tensor) -> Tensor:
    squares = GRADIENTS.square().sum(1)
    return trace_variance(squares, GRADIENTS.mean(0).square().sum(), probabilities)


def test_the_variance_is_least_in_proportion_to_the_norms() -> None:
    norms = GRADIENTS.norm(dim=1)
    best = smoothed(norms, 1.0)
    close(best, [0.490090, 0.163363, 0.231031, 0.115515])
    close(variance(smoothed(norms, 0.0)), 1.718750)
    close(variance(best), 0.935660)
    close(norms.mean() ** 2 - GRADIENTS.mean(0).square().sum(), 0.935660)
    mixed = [float(variance(smoothed(norms, tau))) for tau in (0.25, 0.5, 0.75)]
    assert mixed == pytest.approx([1.335938, 1.106941, 0.979190], abs=1e-6)
    for _ in range(200):
        assert variance(smoothed(torch.rand(4), 1.0)) >= 0.935660


def test_the_variance_is_that_of_draws_and_of_a_slow_sum() -> None:
    p = smoothed(torch.tensor([1.0, 2, 3, 4]), 0.7)
    weighted = GRADIENTS / (4 * p.unsqueeze(1))
    mean = (p.unsqueeze(1) * weighted).sum(0)
    slow = sum(float(p[i]) * float((weighted[i] - mean).square().sum()) for i in range(4))
    assert float(variance(p)) == pytest.approx(slow, rel=1e-12)
    silent = trace_variance(torch.tensor([0.0, 4.0]), torch.tensor(1.0), torch.tensor([0.0, 1.0]))
    assert float(silent) == 0.0, "who has no gradient need not be drawn"


def test_weights_take_the_bias_away() -> None:
    p = smoothed(GRADIENTS.norm(dim=1), 1.0)
    close((p.unsqueeze(1) * GRADIENTS).sum(0), [1.759060, 0.336637])
    drawn = draw(p, 100_000, torch.Generator().manual_seed(0))
    close(GRADIENTS[drawn].mean(0), [1.759060, 0.336637], 0.02)
    weighted = GRADIENTS[drawn] / (4 * p[drawn]).unsqueeze(1)
    close(weighted.mean(0), [1.125, 0.375], 0.02)


def test_counts_follow_the_probabilities() -> None:
    p = smoothed(torch.rand(50), 0.8)
    generator = torch.Generator().manual_seed(1)
    counts = sum(torch.bincount(draw(p, 50, generator), minlength=50) for _ in range(200))
    assert stats.chisquare(counts.numpy(), 200 * 50 * p.numpy()).pvalue > 0.001


def test_uniform_draws_hold_one_minus_one_over_e_of_the_samples() -> None:
    p = smoothed(torch.rand(5000), 0.0)
    distinct = len(draw(p, 5000, torch.Generator().manual_seed(2)).unique()) / 5000
    assert distinct == pytest.approx(1 - 1 / math.e, abs=0.02)


def test_a_draw_is_that_of_numpy_for_a_large_table_and_never_hits_zeros() -> None:
    p = smoothed(torch.rand(50_000).float(), 1.0)
    numbers = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = np.searchsorted(np.cumsum(p.numpy()), numbers.numpy(), side="right")
    found = draw(p, 500, torch.Generator().manual_seed(3))
    assert found.tolist() == expected.tolist()
    gaps = torch.tensor([0.0, 0.5, 0, 0.5, 0], dtype=torch.float64)
    assert set(draw(gaps, 1000, torch.Generator().manual_seed(4)).tolist()) == {1, 3}


@pytest.mark.parametrize("wrong", [[], [0.5, 0.6], [math.nan, 1.0], [-0.5, 1.5], [0.5, 0.5 - 1e-8]])
def test_what_is_no_distribution_is_not_drawn_from(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        draw(torch.tensor(wrong, dtype=torch.float64), 3, torch.Generator())


@pytest.mark.parametrize("wrong", [[], [1.0, math.nan], [1.0, math.inf], [1.0, -0.1]])
def test_scores_that_are_none_are_told(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers of at least 0"):
        smoothed(torch.tensor(wrong), 0.5)


def test_rows_of_scores_are_distributions_with_a_floor() -> None:
    rows = smoothed(torch.rand(6, 5) * torch.tensor([1.0, 0, 1, 1, 0]), 0.9)
    torch.testing.assert_close(rows.sum(1), torch.ones(6, dtype=torch.float64))
    assert float(rows.min()) == pytest.approx(0.02)


def test_tau_grows_with_the_epochs_or_stays() -> None:
    assert [tau_after("linear", epoch, 4) for epoch in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert tau_after("linear", 9, 4) == 1.0
    assert tau_after(0.3, 3, 4) == 0.3
    for right in ("linear", 0, 1, 0.5):
        check_tau_schedule(right)
    for wrong in ("cosine", 1.1, -0.1, math.nan, True):
        with pytest.raises(ValueError, match="tau_schedule must be"):
            check_tau_schedule(wrong)


def test_correlation() -> None:
    a, b = torch.randn(30, dtype=torch.float64), torch.randn(30, dtype=torch.float64)
    assert float(correlation(a, b)) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert float(correlation(a, torch.ones(30))) == 0.0
