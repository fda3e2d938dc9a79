"""The Z-loss against worked numbers, its formula by hand, and its invariances."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

from trainwright_objectives.z_loss import ZLoss, target_z_score, z_loss

WORKED = [2.0, 1.0, 0.0, -1.0]


def row(values: list[float] | None = None) -> torch.Tensor:
    return torch.tensor([values or WORKED], dtype=torch.float64, requires_grad=True)


def label(index: int) -> torch.Tensor:
    return torch.tensor([index])


def random_outputs(num: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (num,), generator=generator)


def by_hand(values: list[float], target: int, a: float, b: float) -> float:
    """The definition, with Python floats and no tricks."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    z = (values[target] - mean) / math.sqrt(variance)
    return math.log1p(math.exp(a * (b - z))) / a


def analytic_gradient(values: torch.Tensor, target: int, a: float, b: float) -> torch.Tensor:
    classes = len(values)
    sigma = values.var(correction=0).sqrt()
    z = (values - values.mean()) / sigma
    one_hot = torch.zeros_like(values)
    one_hot[target] = 1.0
    inner = one_hot - 1 / classes - z * z[target] / classes
    return -torch.sigmoid(a * (b - z[target])) / sigma * inner


@pytest.mark.parametrize(
    ("target", "a", "b", "expected"),
    [
        (0, 1.0, 0.0, 0.232235),
        (0, 2.0, 0.5, 0.085193),
        (0, 0.1, 28.0, 27.330657),
        (3, 1.0, 0.0, 1.573876),
    ],
)
def test_worked_values(target: int, a: float, b: float, expected: float) -> None:
    value = z_loss(row(), label(target), a, b).item()
    assert value == pytest.approx(expected, abs=1e-6)
    assert value == pytest.approx(by_hand(WORKED, target, a, b), abs=1e-10)


def test_worked_standardised_outputs() -> None:
    scores = target_z_score(row().expand(4, -1), torch.arange(4))
    expected = torch.tensor([1.341641, 0.447214, -0.447214, -1.341641], dtype=torch.float64)
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=0)


def test_worked_gradient_equals_the_formula() -> None:
    logits = row()
    z_loss(logits, label(0), eps=0.0).backward()
    worked = torch.tensor([[-0.055608, 0.074145, 0.018536, -0.037073]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, worked, atol=1e-6, rtol=0)
    formula = analytic_gradient(logits.detach()[0], 0, 1.0, 0.0)
    torch.testing.assert_close(logits.grad[0], formula, atol=1e-12, rtol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (3.0, 1.5), (0.1, 28.0)])
def test_gradcheck(reduction: str, a: float, b: float) -> None:
    logits, target = random_outputs(3, 5)
    objective = ZLoss(a, b, reduction=reduction)
    assert torch.autograd.gradcheck(
        lambda o: objective(o, target), logits.requires_grad_(), atol=1e-6
    )
    assert torch.autograd.gradgradcheck(lambda o: objective(o, target), logits)


def test_gradient_is_orthogonal_to_ones_and_to_the_outputs() -> None:
    logits, target = random_outputs(50, 7)
    logits.requires_grad_()
    z_loss(logits, target, 2.0, 1.0, eps=0.0, reduction="sum").backward()
    assert logits.grad.abs().max() > 1e-3
    assert logits.grad.sum(dim=1).abs().max() < 1e-10
    assert (logits.detach() * logits.grad).sum(dim=1).abs().max() < 1e-10


def test_shift_and_scale_leave_the_loss_and_divide_the_gradient() -> None:
    logits, target = random_outputs(20, 6)
    logits.requires_grad_()
    moved = (3 * logits.detach() - 7).requires_grad_()
    before = z_loss(logits, target, eps=0.0, reduction="none")
    after = z_loss(moved, target, eps=0.0, reduction="none")
    torch.testing.assert_close(after, before, atol=1e-10, rtol=0)
    before.sum().backward()
    after.sum().backward()
    torch.testing.assert_close(moved.grad, logits.grad / 3, atol=1e-10, rtol=0)


def test_large_sharpness_is_the_hinge() -> None:
    value = z_loss(row(), label(0), a=1000.0, b=2.0).item()
    assert value == pytest.approx(0.658359, abs=1e-6)
    z = target_z_score(row(), label(0)).item()
    assert value == pytest.approx(max(0.0, 2.0 - z), abs=1e-9)
    assert z_loss(row(), label(0), a=1000.0, b=0.0).item() == pytest.approx(0.0, abs=1e-12)


def test_one_hot_direction_is_the_minimum() -> None:
    values = [0.0] * 10
    values[4] = 1.0
    logits = row(values)
    loss = z_loss(logits, label(4))
    loss.backward()
    assert loss.item() == pytest.approx(0.048587, abs=1e-6)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-3.0)), abs=1e-9)
    assert logits.grad.abs().max() < 1e-10
    random, _ = random_outputs(500, 10)
    assert (z_loss(random, torch.full((500,), 4), reduction="none") > loss.item()).all()


def test_scores_and_loss_are_bounded() -> None:
    logits, target = random_outputs(2000, 5, seed=3)
    scores = target_z_score(logits * 100, target)
    assert scores.abs().max() <= 2.0
    worst = math.log1p(math.exp(2.0))
    assert z_loss(logits * 100, target, reduction="none").max() <= worst


def test_two_outputs_have_no_gradient_and_are_refused() -> None:
    logits = torch.tensor([[0.3, -1.2], [5.0, 4.0]], dtype=torch.float64, requires_grad=True)
    scores = target_z_score(logits, torch.tensor([0, 0]), eps=0.0)
    torch.testing.assert_close(scores, torch.ones(2, dtype=torch.float64))
    scores.sum().backward()
    assert logits.grad.abs().max() < 1e-12
    with pytest.raises(ValueError, match=r"at least 3 outputs.*use cross_entropy"):
        z_loss(logits, torch.tensor([0, 0]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equal_outputs_have_finite_loss_and_gradient(dtype: torch.dtype) -> None:
    logits = torch.full((4, 10), 2.5, dtype=dtype, requires_grad=True)
    loss = z_loss(logits, torch.arange(4))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2.0), abs=1e-6)
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[torch.arange(4), torch.arange(4)] < 0).all()


def test_biased_variance() -> None:
    logits, target = random_outputs(8, 4)
    biased = (logits - logits.mean(1, keepdim=True)) / logits.std(1, correction=0, keepdim=True)
    expected = biased[torch.arange(8), target]
    torch.testing.assert_close(target_z_score(logits, target, eps=0.0), expected)


def test_float32_far_from_zero() -> None:
    logits, target = random_outputs(256, 100)
    far = (1e4 + logits).float()
    exact = far.double()  # the same numbers, so only the arithmetic is judged
    for a, b in [(1.0, 0.0), (2.0, 3.0)]:
        torch.testing.assert_close(
            z_loss(far, target, a, b, reduction="none").double(),
            z_loss(exact, target, a, b, reduction="none"),
            rtol=1e-5,
            atol=1e-6,
        )
    one_pass = far.square().mean(1) - far.mean(1).square()
    assert (one_pass.double() - exact.var(1, correction=0)).abs().max() > 0.1


def test_float32_gradient_far_from_zero() -> None:
    logits, target = random_outputs(64, 100)
    far = (1e4 + logits).float().requires_grad_()
    exact = far.detach().double().requires_grad_()
    z_loss(far, target).backward()
    z_loss(exact, target).backward()
    torch.testing.assert_close(far.grad.double(), exact.grad, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = random_outputs(64, 50)
    half = (20 + logits).to(dtype).requires_grad_()
    full = half.detach().double().requires_grad_()
    loss = z_loss(half, target)
    assert loss.dtype == torch.float32
    expected = z_loss(full, target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    assert half.grad.dtype == dtype
    torch.testing.assert_close(half.grad.double(), full.grad, rtol=2e-2, atol=1e-5)


def test_extreme_outputs_stay_finite() -> None:
    logits = torch.tensor([[1e15, 0.0, -1e15], [1e-15, 0.0, -1e-15]], requires_grad=True)
    loss = z_loss(logits, torch.tensor([2, 2]), a=50.0, b=5.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_reductions_agree() -> None:
    logits, target = random_outputs(9, 4)
    each = z_loss(logits, target, 2.0, 1.0, reduction="none")
    assert each.shape == (9,)
    expected = [by_hand(o.tolist(), int(c), 2.0, 1.0) for o, c in zip(logits, target, strict=True)]
    torch.testing.assert_close(each, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(z_loss(logits, target, 2.0, 1.0), each.mean())
    torch.testing.assert_close(z_loss(logits, target, 2.0, 1.0, reduction="sum"), each.sum())


def test_reduction_of_the_module_can_be_switched() -> None:
    logits, target = random_outputs(5, 4)
    objective = ZLoss(a=2.0)
    mean = objective(logits, target)
    objective.reduction = "none"
    torch.testing.assert_close(objective(logits, target).mean(), mean)


def test_runs_under_vmap() -> None:
    logits, target = random_outputs(12, 4)
    stacked = torch.vmap(z_loss)(logits.view(3, 4, 4), target.view(3, 4))
    for index in range(3):
        part = slice(4 * index, 4 * index + 4)
        torch.testing.assert_close(stacked[index], z_loss(logits[part], target[part]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": 0.0}, "a is the sharpness"),
        ({"a": -1.0}, "a is the sharpness"),
        ({"a": math.inf}, "a is the sharpness"),
        ({"b": math.nan}, "b must be a finite"),
        ({"b": math.inf}, "b must be a finite"),
        ({"eps": -1e-9}, "eps must be None"),
        ({"reduction": "average"}, "mean, sum or none"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ZLoss(**options)
    with pytest.raises(ValueError, match=message):
        z_loss(row(), label(0), **options)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 4, 1]), "[0, 4], but there are 4 outputs"),
        (torch.zeros(3, 4), torch.tensor([0, -1, 1]), "[-1, 1], but there are 4 outputs"),
        (torch.zeros(3, 4), torch.zeros(3, 4), "soft targets"),
        (torch.zeros(3, 4), torch.tensor([True, False, True]), "integer type"),
        (torch.zeros(3, 4), torch.tensor([0, 1]), "shape (3,)"),
        (torch.zeros(3, 4), torch.zeros(3, 1, dtype=torch.long), "shape (3,)"),
        (torch.zeros(4), torch.tensor([0]), "shape (N, D)"),
        (torch.zeros(3, 1), torch.tensor([0, 0, 0]), "at least 3 outputs"),
    ],
)
def test_ill_inputs(logits: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        z_loss(logits, target)


def test_unsigned_targets_and_the_shown_options() -> None:
    logits, target = random_outputs(6, 4)
    assert z_loss(logits, target.to(torch.uint8)) == z_loss(logits, target)
    assert repr(ZLoss(a=2.0)) == "ZLoss(a=2, b=0)"


def test_training_ignores_the_scale_of_the_last_layer() -> None:
    """The mechanism the paper names: the loss cannot be lowered by growing the outputs."""
    torch.manual_seed(0)
    body, head = nn.Linear(8, 16), nn.Linear(16, 5)
    inputs, target = torch.randn(64, 8), torch.randint(5, (64,))
    before = z_loss(head(body(inputs)), target)
    with torch.no_grad():
        head.weight.mul_(10)
        head.bias.mul_(10)
    torch.testing.assert_close(z_loss(head(body(inputs)), target), before, rtol=1e-5, atol=1e-6)
    cross_entropy = nn.functional.cross_entropy(head(body(inputs)), target)
    assert cross_entropy > 2 * before
