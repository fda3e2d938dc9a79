"""LDR-KL against worked numbers, the maximum it stands for, its limits and its gradient."""

from __future__ import annotations

import math
import re

import pytest
import torch

from trainwright_objectives.ldr_kl import LdrKL, ldr_kl, normalized, score_gaps, worst_case

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0]], dtype=torch.float64)
TARGET = torch.tensor([0, 1])
PLAIN = {"normalize": "none", "reduction": "none"}


def random_outputs(num: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (num,), generator=generator)


def by_hand(
    values: list[float], target: int, temperature: float, margin: float, normalize: str
) -> float:
    """The definition, with Python floats and no tricks."""
    if normalize == "softplus":
        values = [math.log1p(math.exp(value)) for value in values]
    if normalize != "none":
        mean = sum(abs(value) for value in values) / len(values)
        values = [value / mean for value in values]
    gaps = [v - values[target] + (margin if k != target else 0.0) for k, v in enumerate(values)]
    total = sum(math.exp(gap / temperature) for gap in gaps)
    return temperature * math.log(total / len(values))


def close(found: torch.Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    wanted = torch.tensor(expected, dtype=found.dtype)
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("temperature", "margin", "normalize", "expected"),
    [
        (1.0, 0.0, "none", [-0.857301, 1.071234]),
        (10.0, 0.1, "none", [-1.363461, 0.480309]),
        (0.1, 0.1, "none", [-0.109861, 1.990139]),
        (1e-4, 0.1, "none", [-0.000110, 2.099890]),
        (1e6, 0.1, "none", [-1.433333, 0.400001]),
        (10.0, 0.1, "softplus", [-0.783202, 0.305845]),
        (10.0, 0.1, "l1", [-1.168269, 0.361964]),
    ],
)
def test_worked_values(temperature: float, margin: float, normalize: str, expected: list) -> None:
    close(ldr_kl(LOGITS, TARGET, temperature, margin, normalize, "none"), expected)


def test_temperature_one_is_cross_entropy_less_its_constant() -> None:
    logits, target = random_outputs(40, 7)
    cross_entropy = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    found = ldr_kl(logits, target, 1.0, 0.0, **PLAIN)
    torch.testing.assert_close(found, cross_entropy - math.log(7), atol=1e-12, rtol=0)


def test_limits_are_the_largest_and_the_mean_gap() -> None:
    logits, target = random_outputs(30, 5)
    gaps = score_gaps(logits, target, 0.3)
    torch.testing.assert_close(
        ldr_kl(logits, target, 1e-9, 0.3, **PLAIN), gaps.amax(1), atol=1e-8, rtol=0
    )
    torch.testing.assert_close(
        ldr_kl(logits, target, 1e7, 0.3, **PLAIN), gaps.mean(1), atol=1e-5, rtol=0
    )


def test_a_high_temperature_is_a_symmetric_loss() -> None:
    logits, _ = random_outputs(6, 3)
    every = [ldr_kl(logits, torch.full((6,), k), 1e7, 0.1, **PLAIN) for k in range(3)]
    close(torch.stack(every).sum(0), [0.2] * 6, 1e-5)
    unlike = [ldr_kl(logits, torch.full((6,), k), 1.0, 0.1, **PLAIN) for k in range(3)]
    assert torch.stack(unlike).sum(0).std() > 0.1


@pytest.mark.parametrize("normalize", ["none", "l1", "softplus"])
def test_against_the_definition(normalize: str) -> None:
    logits, target = random_outputs(25, 6)
    expected = [
        by_hand(row.tolist(), int(label), 2.0, 0.2, normalize)
        for row, label in zip(logits, target, strict=True)
    ]
    found = ldr_kl(logits, target, 2.0, 0.2, normalize, "none")
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-7, atol=0)
    single = ldr_kl(logits.float(), target, 2.0, 0.2, normalize, "none")
    torch.testing.assert_close(single.double(), found, rtol=1e-5, atol=1e-6)


def test_it_is_the_maximum_over_distributions() -> None:
    logits, target = random_outputs(4, 3)
    gaps = score_gaps(logits, target, 0.1)
    grid = torch.cartesian_prod(*[torch.linspace(0.001, 1, 60).double()] * 3)
    p = grid / grid.sum(1, keepdim=True)
    penalty = (p * (3 * p).log()).sum(1)
    for temperature in (0.5, 5.0):
        values = p @ gaps.T - temperature * penalty[:, None]
        found = worst_case(gaps, temperature)
        assert (values <= found + 1e-12).all()
        torch.testing.assert_close(values.amax(0), found, atol=0.02, rtol=0)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 200.0])
def test_gradient_is_the_worst_distribution(temperature: float) -> None:
    logits, target = random_outputs(20, 5)
    gaps = score_gaps(logits, target, 0.1).requires_grad_()
    worst_case(gaps, temperature).sum().backward()
    worst = torch.softmax(gaps.detach() / temperature, dim=1)
    torch.testing.assert_close(gaps.grad, worst, atol=1e-10, rtol=0)


def test_loss_does_not_grow_with_the_temperature() -> None:
    logits, target = random_outputs(50, 6)
    grid = [10 ** (k / 4) for k in range(-12, 13)]
    values = torch.stack([ldr_kl(logits, target, t, 0.1, **PLAIN) for t in grid])
    assert (values.diff(dim=0) <= 1e-12).all()
    assert (values[-1] < values[0] - 0.1).all()


def test_a_temperature_for_each_row() -> None:
    logits, target = random_outputs(3, 4)
    gaps = score_gaps(logits, target, 0.0)
    each = torch.tensor([0.3, 1.0, 40.0], dtype=torch.float64)
    expected = torch.cat([worst_case(gaps[i : i + 1], float(each[i])) for i in range(3)])
    torch.testing.assert_close(worst_case(gaps, each), expected)


@pytest.mark.parametrize("normalize", ["none", "l1", "softplus"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradcheck(normalize: str, reduction: str) -> None:
    logits, target = random_outputs(3, 4)
    objective = LdrKL(2.0, 0.1, normalize, reduction)
    assert torch.autograd.gradcheck(lambda z: objective(z, target), logits.requires_grad_())


def test_normalisation() -> None:
    logits, _ = random_outputs(9, 4)
    for normalize in ("l1", "softplus"):
        scores = normalized(logits, normalize)
        torch.testing.assert_close(scores.abs().mean(1), torch.ones(9, dtype=torch.float64))
    torch.testing.assert_close(normalized(1e3 * logits, "l1"), normalized(logits, "l1"))
    assert (normalized(logits, "softplus") > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_of_zero_have_a_bounded_gradient(dtype: torch.dtype) -> None:
    logits = torch.zeros(4, 5, dtype=dtype, requires_grad=True)
    loss = ldr_kl(logits, torch.arange(4), normalize="l1")
    loss.backward()
    assert loss.item() == pytest.approx(by_hand([0.0] * 5, 0, 10.0, 0.1, "none"), abs=1e-6)
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() <= 1000
    assert (logits.grad[torch.arange(4), torch.arange(4)] < 0).all()


@pytest.mark.parametrize("normalize", ["none", "l1", "softplus"])
@pytest.mark.parametrize("temperature", [1e-3, 1e4])
def test_extreme_outputs_stay_finite(normalize: str, temperature: float) -> None:
    logits = torch.tensor([[500.0, 0.0, -500.0], [-1e4, -1e4, -1e4]], requires_grad=True)
    loss = ldr_kl(logits, torch.tensor([2, 0]), temperature, normalize=normalize)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_float32_keeps_its_digits() -> None:
    logits, target = random_outputs(64, 100)
    for temperature in (1e-2, 1.0, 10.0):
        found = ldr_kl(logits.float(), target, temperature, **PLAIN)
        exact = ldr_kl(logits.float().double(), target, temperature, **PLAIN)
        torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = random_outputs(64, 20)
    half = logits.to(dtype).requires_grad_()
    full = half.detach().double().requires_grad_()
    loss, expected = ldr_kl(half, target), ldr_kl(full, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(half.grad.double(), full.grad, rtol=2e-2, atol=1e-6)


def test_one_hot_rows_are_class_indices() -> None:
    logits, target = random_outputs(8, 4)
    for kind in (torch.float32, torch.int64, torch.bool):
        rows = torch.nn.functional.one_hot(target, 4).to(kind)
        assert ldr_kl(logits, rows) == ldr_kl(logits, target)


def test_reductions_agree() -> None:
    logits, target = random_outputs(9, 4)
    each = ldr_kl(logits, target, reduction="none")
    assert each.shape == (9,)
    torch.testing.assert_close(ldr_kl(logits, target), each.mean())
    torch.testing.assert_close(ldr_kl(logits, target, reduction="sum"), each.sum())
    assert repr(LdrKL()) == "LdrKL(temperature=10, margin=0.1)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"temperature": math.inf}, "temperature must be"),
        ({"margin": -0.1}, "margin must be a number of at least 0, got -0.1"),
        ({"margin": math.nan}, "margin must be"),
        ({"normalize": "l2"}, "normalize must be none, l1 or softplus, got 'l2'"),
        ({"reduction": "average"}, "mean, sum or none"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LdrKL(**options)
    with pytest.raises(ValueError, match=message):
        ldr_kl(LOGITS, TARGET, **options)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 4, 1]), "[0, 4], but there are 4 outputs"),
        (torch.zeros(3, 4), torch.full((3, 4), 0.25), "not defined for soft targets"),
        (torch.zeros(2, 2), torch.tensor([[1, 0], [0, 0]]), "one-hot or class indices"),
        (torch.zeros(2, 2), torch.tensor([[1, 1], [1, 0]]), "one-hot or class indices"),
        (torch.zeros(3, 4), torch.tensor([0, 1]), "shape (3,)"),
        (torch.zeros(3, 1), torch.tensor([0, 0, 0]), "at least 2 outputs"),
    ],
)
def test_ill_inputs(logits: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ldr_kl(logits, target)
