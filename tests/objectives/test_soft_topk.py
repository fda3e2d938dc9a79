"""SoftTop-k against worked numbers, its definition, finite differences, and its limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright_objectives.soft_topk import SoftTopk, log_soft_topk, soft_topk_shift

SCORES = [[2.0, 1.0, 0.5, -1.0, 0.0]]
POSITIVES = torch.tensor([[0, 2]])


def worked() -> Tensor:
    return torch.tensor(SCORES, dtype=torch.float64, requires_grad=True)


def random_case(size: int = 5, num_labels: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(size, num_labels, dtype=torch.float64, generator=generator)
    dense = torch.zeros(size, num_labels)
    dense.scatter_(1, torch.rand(size, num_labels, generator=generator).argsort()[:, :3], 1.0)
    return scores.requires_grad_(), dense


def filled(k: float, rows: int = 1) -> Tensor:
    return torch.full((rows, 1), k, dtype=torch.float64)


def test_worked_shift_and_indicator() -> None:
    shift = soft_topk_shift(worked(), filled(2), 2.0)
    assert shift.item() == pytest.approx(-0.845540, abs=1e-6)
    theta = log_soft_topk(worked(), filled(2), 2.0).exp()
    expected = [0.909613, 0.576622, 0.333793, 0.024338, 0.155634]
    assert theta[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert theta.sum().item() == pytest.approx(2, abs=1e-7)


def test_worked_loss_and_gradient() -> None:
    scores = worked()
    loss = SoftTopk(k=2)(POSITIVES, scores)
    assert loss.item() == pytest.approx(0.595985, abs=1e-6)
    loss.backward()
    expected = [-0.002012, 0.262412, -0.427178, 0.025524, 0.141254]
    assert scores.grad[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert SoftTopk(k=1)(POSITIVES, worked()).item() == pytest.approx(1.416457, abs=1e-6)


def test_random_scores_equal_the_definition() -> None:
    """With a shift found by another method: Newton's, in short steps from 0."""
    scores, dense = random_case()
    found = SoftTopk(k=3, alpha=1.5, reduction="none")(dense, scores)
    for row, positive, value in zip(scores.tolist(), dense.tolist(), found.tolist(), strict=True):
        shift = 0.0
        for _ in range(60):
            theta = [1 / (1 + math.exp(-1.5 * (s + shift))) for s in row]
            slope = sum(1.5 * q * (1 - q) for q in theta)
            shift -= max(-0.5, min(0.5, (sum(theta) - 3) / slope))
        expected = -sum(math.log(q) for q, y in zip(theta, positive, strict=True) if y) / 3
        assert value == pytest.approx(expected, rel=1e-8)
    single = SoftTopk(k=3, alpha=1.5, reduction="none")(dense, scores.detach().float())
    assert single.tolist() == pytest.approx(found.tolist(), rel=1e-5)


@pytest.mark.parametrize("options", [{"k": 2}, {"k": "positives", "alpha": 0.7}])
def test_gradcheck_and_a_gradient_that_adds_up_to_nothing(options: dict[str, Any]) -> None:
    scores, dense = random_case(3, 6)
    objective = SoftTopk(num_iterations=64, **options)
    assert torch.autograd.gradcheck(lambda s: objective(dense, s), scores)
    objective(dense, scores).backward()
    assert scores.grad.abs().max() > 1e-3
    assert scores.grad.sum(dim=1).abs().max() < 1e-12


def test_constants_and_the_order_of_labels_do_not_count() -> None:
    scores, dense = random_case()
    objective = SoftTopk(k=2)
    before = objective(dense, scores)
    torch.testing.assert_close(objective(dense, scores + 7), before, rtol=1e-7, atol=1e-8)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    after = objective(dense[:, order], scores[:, order])
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


def test_a_large_steepness_is_the_hard_top_k() -> None:
    scores, _ = random_case()
    theta = log_soft_topk(scores, filled(3, 5), 1e3).exp()
    hard = torch.zeros_like(scores).scatter(1, scores.topk(3).indices, 1.0)
    torch.testing.assert_close(theta, hard, rtol=0, atol=1e-6)
    assert SoftTopk(k=3, alpha=1e3)(hard, scores).item() < 1e-6


@pytest.mark.parametrize(("num_labels", "k"), [(20_000, 5), (20_000, 19_000), (3, 1)])
def test_the_sum_is_k_for_many_labels_of_equal_scores(num_labels: int, k: int) -> None:
    """A search between the extreme scores plus and minus 10 / alpha would not hold t."""
    for scores in (torch.zeros(1, num_labels), torch.linspace(-20, 20, num_labels)[None]):
        scores = scores.requires_grad_()
        logs = log_soft_topk(scores, filled(k), 2.0)
        assert logs.exp().sum().item() == pytest.approx(k, rel=1e-3)
        logs[0, :2].sum().backward()
        assert scores.grad.isfinite().all()


def test_k_as_the_number_of_positives() -> None:
    scores = torch.tensor(SCORES * 3, dtype=torch.float64)
    dense = torch.tensor([[1.0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0.5, 0.5, 0.2, 0, 0]])
    found = SoftTopk(k="positives", reduction="none")(dense, scores)
    for row, k in enumerate((2, 1, 2)):
        expected = SoftTopk(k=k)(dense[row : row + 1], scores[row : row + 1])
        assert found[row].item() == pytest.approx(expected.item())


def test_positives_that_are_not_drawn_are_no_labels() -> None:
    torch.manual_seed(0)
    scores, dense = worked(), torch.tensor([[1.0, 0, 1, 0, 0]])
    drawn = {round(SoftTopk(k=1, num_positives=1)(dense, scores).item(), 5) for _ in range(40)}
    left = [
        SoftTopk(k=1)(torch.tensor([at]), scores[:, kept]).item()
        for kept, at in (([0, 1, 3, 4], 0), ([1, 2, 3, 4], 1))
    ]
    assert sorted(drawn) == pytest.approx(sorted(left), abs=2e-5)
    objective = SoftTopk(k=1, num_positives=1)
    objective(dense, scores).backward()
    assert scores.grad.isfinite().all()


def test_small_batches_take_a_smaller_k() -> None:
    torch.manual_seed(0)
    query, document, label = torch.randn(4, 3), torch.randn(4, 3), torch.arange(4)
    given = {"query": query, "document": document, "label": label}
    large = SoftTopk(k=50, in_batch=True)(label, **given)
    torch.testing.assert_close(large, SoftTopk(k=3, in_batch=True)(label, **given))


def test_a_query_without_positives_moves_nothing() -> None:
    scores = torch.tensor(SCORES * 2, dtype=torch.float64, requires_grad=True)
    dense = torch.tensor([[0.0, 0, 0, 0, 0], [1.0, 0, 1, 0, 0]])
    SoftTopk(k="positives")(dense, scores).backward()
    assert not scores.grad[0].any()
    assert scores.grad[1].isfinite().all()


def test_a_single_label_in_evaluation_has_a_finite_loss() -> None:
    rows, label = torch.eye(2), torch.tensor([3, 3])
    objective = SoftTopk(k=5, in_batch=True).eval()
    assert objective(label, query=rows, document=rows, label=label).isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be at least 1, or positives, got 0"),
        ({"k": "all"}, "k must be at least 1, or positives, got 'all'"),
        ({"alpha": 0.0}, "alpha must be a number above 0"),
        ({"alpha": math.inf}, "alpha must be a number above 0"),
        ({"num_iterations": 0}, "num_iterations must be at least 1"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SoftTopk(**options)


def test_ill_scores() -> None:
    with pytest.raises(ValueError, match="k must be below the number of labels, 5, got 5"):
        SoftTopk(k=5)(POSITIVES, worked())
    with pytest.raises(ValueError, match="k must be below the number of labels, 5, got 5"):
        SoftTopk(k="positives")(torch.ones(1, 5), worked())
    with pytest.raises(ValueError, match="scores must be finite"):
        SoftTopk(k=2)(POSITIVES, worked() * math.nan)
