"""Correctness-aware calibration: worked numbers, the sign of its gradients, its best constants."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainwright_objectives.correctness_aware_calibration import (
    CorrectnessAwareCalibration,
    balancing_weights,
    confidence_of,
    squared_gap,
)

LOGITS = torch.tensor([[2, 1, 0], [1.2, 1, -1], [0, 3, 0.5], [0.5, 0.4, 0.3]], dtype=torch.float64)
TARGET = torch.tensor([0, 1, 1, 2])


def by_temperature(loss, logits: Tensor) -> list[float]:
    """The derivative of a loss by the temperature of each sample, at 1."""
    temperature = torch.ones(len(logits), 1, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(loss(logits / temperature), temperature)
    return found.flatten().tolist()


def by_hand(logits: Tensor, target: Tensor, balance: bool) -> float:
    gaps, weights = [], []
    probabilities = logits.double().softmax(1).tolist()
    correct = [
        row.index(max(row)) == t for row, t in zip(probabilities, target.tolist(), strict=True)
    ]
    share = sum(correct) / len(correct)
    for row, right in zip(probabilities, correct, strict=True):
        gaps.append((max(row) - right) ** 2)
        weights.append((1 - share if right else share) if balance and 0 < share < 1 else 1.0)
    return sum(w * g for w, g in zip(weights, gaps, strict=True)) / sum(weights)


def random_scores(num: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num, 5, dtype=torch.float64, generator=generator)
    return logits, torch.randint(5, (num,), generator=generator)


def test_worked_numbers() -> None:
    worked = [0.665241, 0.518260, 0.883492, 0.367165]
    assert confidence_of(LOGITS).tolist() == pytest.approx(worked, abs=1e-6)
    for balance in (True, False):
        objective = CorrectnessAwareCalibration(balance)
        assert objective(LOGITS, TARGET).item() == pytest.approx(0.132260, abs=1e-6)
        slopes = by_temperature(lambda x, loss=objective: loss(x, TARGET), LOGITS)
        assert slopes == pytest.approx([0.047299, -0.028363, 0.016123, -0.006292], abs=1e-6)
    assert cross_entropy(LOGITS, TARGET).item() == pytest.approx(0.647675, abs=1e-6)
    slopes = by_temperature(lambda x: cross_entropy(x, TARGET), LOGITS)
    assert slopes == pytest.approx([0.106197, 0.002799, 0.078316, -0.026664], abs=1e-6)


def test_a_narrow_miss_is_made_less_confident_where_cross_entropy_sharpens() -> None:
    logits, target = (
        torch.tensor([[0.42, 0.40, 0.18]], dtype=torch.float64).log(),
        torch.tensor([1]),
    )
    slope = by_temperature(lambda x: cross_entropy(x, target), logits)
    assert slope == pytest.approx([0.123240], abs=1e-6)
    slope = by_temperature(lambda x: CorrectnessAwareCalibration(False)(x, target), logits)
    assert slope == pytest.approx([-0.060692], abs=1e-6)


@pytest.mark.parametrize("balance", [True, False])
def test_sign_of_the_gradient_by_temperature(balance: bool) -> None:
    logits, target = random_scores(300)
    slopes = torch.tensor(
        by_temperature(lambda x: CorrectnessAwareCalibration(balance)(x, target), logits)
    )
    correct = logits.argmax(1) == target
    assert (slopes[correct] >= 0).all()
    assert (slopes[~correct] <= 0).all()
    assert (slopes != 0).all()


@pytest.mark.parametrize("balance", [True, False])
def test_against_a_slow_implementation(balance: bool) -> None:
    for seed in range(5):
        logits, target = random_scores(17, seed)
        expected = by_hand(logits, target, balance)
        objective = CorrectnessAwareCalibration(balance)
        assert objective(logits, target).item() == pytest.approx(expected, rel=1e-10)
        assert objective(logits.float(), target).item() == pytest.approx(expected, rel=1e-5)
        assert 0 <= expected <= 1
        torch.testing.assert_close(objective(logits + 7, target), objective(logits, target))


def test_balance_lets_both_kinds_count_the_same() -> None:
    correct = torch.tensor([True] * 8 + [False] * 2)
    errors = torch.where(correct, 0.3, 0.7)
    weights = balancing_weights(correct, correct.float().mean())
    assert (weights * errors).mean().item() == pytest.approx((0.3 + 0.7) / 2)
    assert errors.mean().item() == pytest.approx(0.8 * 0.3 + 0.2 * 0.7)
    # Of a part of the samples, with the share of all: means of parts add up to the mean of all.
    parts = [
        (balancing_weights(c, torch.tensor(0.8)) * e).mean()
        for c, e in ((correct[:4], errors[:4]), (correct[4:], errors[4:]))
    ]
    assert (0.4 * parts[0] + 0.6 * parts[1]).item() == pytest.approx(0.5)


def test_best_constant_confidence() -> None:
    correct = torch.tensor([True] * 8 + [False] * 2)
    constants = torch.linspace(0, 1, 1001)
    plain = squared_gap(constants[:, None].expand(-1, 10), correct).mean(1)
    assert constants[plain.argmin()].item() == pytest.approx(0.8)
    weights = balancing_weights(correct, correct.float().mean())
    balanced = (weights * squared_gap(constants[:, None].expand(-1, 10), correct)).mean(1)
    assert constants[balanced.argmin()].item() == pytest.approx(0.5)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_batch_of_one_kind_counts_uniformly(shift: int) -> None:
    logits, _ = random_scores(9)
    target = (logits.argmax(1) + shift) % 5
    expected = CorrectnessAwareCalibration(False)(logits, target)
    torch.testing.assert_close(CorrectnessAwareCalibration(True)(logits, target), expected)


def test_perfect_confidence_has_no_loss() -> None:
    logits = torch.tensor([[100.0, 0.0], [0.0, 100.0]])
    assert CorrectnessAwareCalibration()(logits, torch.tensor([0, 1])) == 0
    assert CorrectnessAwareCalibration()(logits, torch.tensor([1, 0])) == 1


def test_a_prediction_may_come_from_other_logits() -> None:
    logits, target = random_scores(20)
    predicted = (logits.argmax(1) + 1) % 5
    found = CorrectnessAwareCalibration(False)(logits, target, predicted)
    expected = squared_gap(confidence_of(logits), predicted == target).mean()
    assert found == expected
    assert found != CorrectnessAwareCalibration(False)(logits, target)


@pytest.mark.parametrize("balance", [True, False])
def test_gradcheck(balance: bool) -> None:
    logits, target = random_scores(12)
    logits.requires_grad_()
    torch.autograd.gradcheck(lambda x: CorrectnessAwareCalibration(balance)(x, target), logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = random_scores()
    logits = (20 * logits).to(dtype).requires_grad_()
    loss = CorrectnessAwareCalibration()(logits, target)
    assert loss.dtype == torch.float32
    loss.backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            torch.tensor([0, 1, 1, 3]),
            r"lie in \[0, 3\], but there are 3 outputs: allowed are 0 to 2",
        ),
        (
            torch.tensor([0, -1, 1, 2]),
            r"lie in \[-1, 2\], but there are 3 outputs: allowed are 0 to 2",
        ),
        (torch.zeros(4, 3), "not defined for soft targets"),
    ],
)
def test_ill_targets(target: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorrectnessAwareCalibration()(LOGITS, target)


def test_what_it_couples() -> None:
    assert CorrectnessAwareCalibration().couples == "batch"
    assert CorrectnessAwareCalibration(balance=False).couples == "sample"
    assert "balance=False" in repr(CorrectnessAwareCalibration(balance=False))
