"""Margin control against worked numbers, its gradients by hand, and its limits."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainwright_objectives.margin_control_ce import MarginControlCE, margin_control

LOGITS = [[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]]
TARGET = torch.tensor([0, 2])
FORMS = [(s, n) for s in ("logits", "probs") for n in ("sample", "batch")]


def worked() -> Tensor:
    return torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)


def random_outputs(num: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (num,), generator=generator)


def by_hand(logits: list[list[float]], target: list[int], weight: float, form: tuple) -> float:
    """The definition, with Python floats."""
    source, norm = form
    errors, squares = [], []
    for row, label in zip(logits, target, strict=True):
        powers = [math.exp(value - max(row)) for value in row]
        probs = [power / sum(powers) for power in powers]
        errors.append(-math.log(probs[label]))
        squares.append(sum(v * v for v in (row if source == "logits" else probs)))
    penalty = math.log(1 + sum(squares))
    if norm == "sample":
        penalty = sum(math.log(1 + square) for square in squares) / len(squares)
    return sum(errors) / len(errors) + weight * penalty


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (("probs", "batch"), 0.706506),
        (("probs", "sample"), 0.675927),
        (("logits", "sample"), 0.751798),
    ],
)
def test_worked_values(form: tuple, expected: float) -> None:
    parts = MarginControlCE(0.1, *form)(worked(), TARGET)
    assert parts["ce"].item() == pytest.approx(0.634229, abs=1e-6)
    assert parts["loss"].item() == pytest.approx(expected, abs=1e-6)
    total = parts["ce"] + 0.1 * parts["margin"]
    torch.testing.assert_close(parts["loss"].detach(), total)


@pytest.mark.parametrize(
    ("form", "rows"),
    [
        (("probs", "batch"), [[-0.068518, 0.050306, 0.018212], [0.166667, 0.166667, -0.333333]]),
        (("logits", "sample"), [[-0.044769, 0.057098, 0.004338], None]),
        (("probs", "sample"), [None, [0.166667, 0.166667, -0.333333]]),
    ],
)
def test_worked_gradients(form: tuple, rows: list[list[float] | None]) -> None:
    logits = worked()
    MarginControlCE(0.1, *form)(logits, TARGET)["loss"].backward()
    for found, expected in zip(logits.grad, rows, strict=True):
        if expected is not None:
            assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_the_gradient_of_the_penalty_on_probabilities() -> None:
    z = torch.tensor([[2.0, 0.0, -1.0]], dtype=torch.float64, requires_grad=True)
    margin_control(z, "probs").sum().backward()
    assert z.grad[0].tolist() == pytest.approx([0.114343, -0.081024, -0.033319], abs=1e-6)
    p = functional.softmax(z.detach()[0], dim=0)
    square = p.square().sum()
    torch.testing.assert_close(z.grad[0], 2 * p * (p - square) / (1 + square), rtol=0, atol=1e-12)
    assert abs(z.grad.sum().item()) < 1e-12


def test_the_gradient_of_the_penalty_on_logits() -> None:
    z, _ = random_outputs(7, 4)
    z.requires_grad_()
    margin_control(z).mean().backward()
    square = z.detach().square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(z.grad, 2 * z.detach() / (1 + square) / 7, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_random_outputs_against_the_definition(form: tuple, seed: int) -> None:
    logits, target = random_outputs(9, 5, seed)
    objective = MarginControlCE(0.3, *form)
    expected = by_hand(logits.tolist(), target.tolist(), 0.3, form)
    assert objective(logits, target)["loss"].item() == pytest.approx(expected, rel=1e-10)
    single = objective(logits.float(), target)["loss"].item()
    assert single == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form: tuple) -> None:
    logits, target = random_outputs(4, 3)
    objective = MarginControlCE(0.5, *form)
    assert torch.autograd.gradcheck(
        lambda z: objective(z, target)["loss"], logits.requires_grad_(), atol=1e-6
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_weight_it_is_cross_entropy_bit_for_bit(form: tuple, dtype: torch.dtype) -> None:
    logits, target = random_outputs(50, 6)
    found = logits.to(dtype).requires_grad_()
    expected = logits.to(dtype).requires_grad_()
    loss = MarginControlCE(0.0, *form)(found, target)["loss"]
    reference = functional.cross_entropy(expected, target)
    loss.backward()
    reference.backward()
    assert loss.equal(reference)
    assert found.grad.equal(expected.grad)


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_one_sample_is_a_batch(source: Any) -> None:
    logits, target = random_outputs(1, 5)
    alone = MarginControlCE(0.2, source, "sample")(logits, target)["loss"]
    torch.testing.assert_close(MarginControlCE(0.2, source, "batch")(logits, target)["loss"], alone)


def test_bounds_and_the_shift() -> None:
    logits, _ = random_outputs(500, 4)
    penalty = margin_control(10 * logits, "probs")
    assert (penalty >= math.log(1 + 1 / 4) - 1e-12).all()
    assert (penalty <= math.log(2) + 1e-12).all()
    torch.testing.assert_close(margin_control(logits + 7, "probs"), margin_control(logits, "probs"))
    assert (margin_control(logits + 7) - margin_control(logits)).abs().min() > 1e-3


def test_the_mean_is_that_of_the_samples() -> None:
    logits, target = random_outputs(12, 5)
    each = MarginControlCE(0.4, reduction="none")(logits, target)["loss"]
    assert each.shape == (12,)
    torch.testing.assert_close(MarginControlCE(0.4)(logits, target)["loss"], each.mean())
    total = MarginControlCE(0.4, reduction="sum")(logits, target)["loss"]
    torch.testing.assert_close(total, each.sum())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", FORMS)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, form: tuple) -> None:
    logits, target = random_outputs(64, 10)
    half = (30 * logits).to(dtype).requires_grad_()  # squares beyond float16
    full = half.detach().double().requires_grad_()
    loss = MarginControlCE(0.1, *form)(half, target)["loss"]
    assert loss.dtype == torch.float32
    expected = MarginControlCE(0.1, *form)(full, target)["loss"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(half.grad.double(), full.grad, rtol=2e-2, atol=1e-4)


def test_zero_outputs() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    loss = MarginControlCE(1.0)(logits, torch.tensor([0, 1, 2]))["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    assert torch.isfinite(logits.grad).all()


def test_the_penalty_bounds_the_outputs_of_separable_data() -> None:
    """Under cross-entropy they would grow for ever; on probabilities they nearly do."""
    target = torch.arange(4)

    def length(objective: MarginControlCE) -> float:
        logits = torch.zeros(4, 4, requires_grad=True)
        for _ in range(3000):
            (gradient,) = torch.autograd.grad(objective(logits, target)["loss"], logits)
            with torch.no_grad():
                logits -= 4.0 * gradient
        return logits.norm(dim=1).mean().item()

    plain = length(MarginControlCE(0.0))
    assert length(MarginControlCE(0.1)) < 0.6 * plain
    assert length(MarginControlCE(0.1, "probs", "batch")) > 0.9 * plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin_weight": -0.1}, "margin_weight must be a number of at least 0, got -0.1"),
        ({"margin_weight": math.nan}, "margin_weight must be a number of at least 0"),
        ({"source": "softmax"}, "source must be logits or probs, got 'softmax'"),
        ({"norm": "mean"}, "norm must be sample or batch, got 'mean'"),
        ({"reduction": "average"}, "mean, sum or none"),
        ({"norm": "batch", "reduction": "none"}, "the reduction must be mean, got 'none'"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        MarginControlCE(**options)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 4, 1]), "[0, 4], but there are 4 outputs"),
        (torch.zeros(3, 4), torch.zeros(3, 4), "soft targets"),
        (torch.zeros(4), torch.tensor([0]), "shape (N, D)"),
    ],
)
def test_ill_inputs(logits: Tensor, target: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        MarginControlCE()(logits, target)


def test_what_couples_and_what_is_shown() -> None:
    assert MarginControlCE().couples == "sample"
    assert MarginControlCE(norm="batch").couples == "batch"
    shown = "MarginControlCE(margin_weight=0.2, source=logits, norm=sample)"
    assert repr(MarginControlCE(0.2)) == shown
