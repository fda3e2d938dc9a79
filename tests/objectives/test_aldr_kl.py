"""ALDR-KL against worked numbers, the inner maximum on a grid, and LDR-KL."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_objectives.aldr_kl import AldrKL, next_temperature
from trainwright_objectives.ldr_kl import ldr_kl, normalized, score_gaps

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0]], dtype=torch.float64)
TARGET = torch.tensor([0, 1])


def random_outputs(num: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (num,), generator=generator)


def step_by_hand(scores: list[float], present: float, base: float, alpha: float) -> float:
    """One step with Python floats, as the authors write it."""
    top = max(scores)
    p = [math.exp((score - top) / present) for score in scores]
    p = [value / sum(p) + 1e-5 for value in p]
    p = [value / sum(p) for value in p]
    divergence = sum(value * math.log(len(scores) * value) for value in p)
    return base - base * divergence / (alpha * math.log(len(scores)))


def value_at(gaps: list[float], temperature: float, base: float, alpha: float) -> float:
    """The loss of one sample at some temperature, with Python floats."""
    total = sum(math.exp(gap / temperature) for gap in gaps)
    log_classes = math.log(len(gaps))
    price = alpha * log_classes / (2 * base) * (temperature - base) ** 2
    return temperature * (math.log(total) - log_classes) - price


def losses(objective: AldrKL, *arguments: torch.Tensor) -> torch.Tensor:
    objective.reduction = "none"
    return objective(*arguments)["loss"]


def close(found: torch.Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    wanted = torch.tensor(expected, dtype=found.dtype)
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)


def test_worked_steps_and_losses() -> None:
    objective = AldrKL(eps=0.0)
    present = torch.full((2,), 10.0, dtype=torch.float64)
    first = objective.temperatures(LOGITS, TARGET, present)
    close(first, [9.975025, 9.979683])
    close(losses(objective, LOGITS, TARGET, first), [-1.168211, 0.362012])
    third = objective.temperatures(LOGITS, TARGET, present, num_steps=3)
    close(third, [9.974900, 9.979599])
    close(objective.temperatures(LOGITS, TARGET, third), third.tolist(), 1e-6)


@pytest.mark.parametrize("margin_in_q", [False, True])
def test_steps_within_a_call_are_those_from_the_start(margin_in_q: bool) -> None:
    logits, target = random_outputs(12, 5)
    for steps in (1, 3):
        objective = AldrKL(temperature=1.0, margin_in_q=margin_in_q, num_steps=steps)
        start = torch.ones(12, dtype=torch.float64)
        found = objective.temperatures(logits, target, start, steps)
        torch.testing.assert_close(
            losses(objective, logits, target), losses(objective, logits, target, found)
        )
        assert objective(logits, target)["temperature"] == pytest.approx(found.mean().item())


@pytest.mark.parametrize("normalize", ["none", "l1", "softplus"])
def test_a_step_against_the_definition(normalize: str) -> None:
    logits, target = random_outputs(15, 6)
    objective = AldrKL(temperature=2.0, alpha=1.5, normalize=normalize)
    present = torch.linspace(0.7, 2.0, 15, dtype=torch.float64)
    scores = normalized(logits, normalize)
    expected = [
        step_by_hand(row.tolist(), float(start), 2.0, 1.5)
        for row, start in zip(scores, present, strict=True)
    ]
    close(objective.temperatures(logits, target, present), expected, 1e-10)
    single = objective.temperatures(logits.float(), target, present.float())
    torch.testing.assert_close(single.double(), torch.tensor(expected).double(), rtol=1e-5, atol=0)


def test_a_loss_against_the_definition() -> None:
    logits, target = random_outputs(15, 6)
    found = AldrKL(temperature=2.0, alpha=1.5, margin=0.3, reduction="none")
    temperatures = torch.linspace(0.7, 2.0, 15, dtype=torch.float64)
    gaps = score_gaps(normalized(logits, "l1"), target, 0.3)
    expected = [
        value_at(row.tolist(), float(t), 2.0, 1.5)
        for row, t in zip(gaps, temperatures, strict=True)
    ]
    value = found(logits, target, temperatures)["loss"]
    close(value, expected, 1e-10)
    single = found(logits.float(), target, temperatures.float())["loss"]
    torch.testing.assert_close(single.double(), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("base", [1.0, 10.0])
def test_with_the_margin_the_steps_find_the_inner_maximum(base: float) -> None:
    logits, target = random_outputs(10, 4)
    objective = AldrKL(base, margin=0.5, margin_in_q=True, num_steps=60, eps=0.0)
    found = losses(objective, logits, target)
    gaps = score_gaps(normalized(logits, "l1"), target, 0.5)
    grid = torch.linspace(base / 2, base, 4001, dtype=torch.float64).tolist()
    for row, value in zip(gaps.tolist(), found.tolist(), strict=True):
        best = max(value_at(row, temperature, base, 2.0) for temperature in grid)
        assert best - 1e-12 <= value <= best + 1e-6
    without = losses(AldrKL(base, margin=0.5, num_steps=60, eps=0.0), logits, target)
    assert (without < found).all()


def test_temperatures_stay_in_their_range() -> None:
    logits, target = random_outputs(200, 5)
    for alpha in (1.01, 2.0):
        objective = AldrKL(0.3, alpha, normalize="none")
        start = torch.full((200,), 0.3, dtype=torch.float64)
        found = objective.temperatures(20 * logits, target, start, num_steps=4)
        assert (found >= 0.3 * (1 - 1 / alpha) - 1e-12).all()
        assert (found <= 0.3 + 1e-12).all()


def test_a_confident_sample_has_the_lowest_temperature() -> None:
    logits = torch.tensor([[30.0, 0.0, 0.0]])
    objective = AldrKL(0.1, normalize="none", eps=0.0)
    found = objective.temperatures(logits, torch.tensor([0]), torch.tensor([0.1]), 3)
    close(found, [0.05], 1e-7)
    flat = objective.temperatures(torch.zeros(1, 3), torch.tensor([0]), torch.tensor([0.1]), 3)
    close(flat, [0.1], 1e-7)


def test_a_large_penalty_is_ldr_kl() -> None:
    logits, target = random_outputs(20, 6)
    for normalize in ("l1", "softplus"):
        expected = ldr_kl(logits, target, 5.0, 0.1, normalize, "none")
        found = losses(AldrKL(5.0, alpha=1e9, normalize=normalize), logits, target)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        assert (losses(AldrKL(5.0, normalize=normalize), logits, target) - expected).max() > 5e-4


def test_no_gradient_flows_through_the_temperature() -> None:
    logits, target = random_outputs(6, 4)
    objective = AldrKL(1.0)
    free = logits.clone().requires_grad_()
    objective(free, target)["loss"].backward()
    held = logits.clone().requires_grad_()
    start = torch.ones(6, dtype=torch.float64)
    fixed = objective.temperatures(logits, target, start, 3).requires_grad_()
    objective(held, target, fixed)["loss"].backward()
    torch.testing.assert_close(free.grad, held.grad)
    assert fixed.grad is None
    assert not objective(free, target)["temperature"].requires_grad


@pytest.mark.parametrize("normalize", ["none", "l1", "softplus"])
def test_gradcheck_at_given_temperatures(normalize: str) -> None:
    logits, target = random_outputs(3, 4)
    objective = AldrKL(2.0, normalize=normalize)
    given = torch.tensor([1.1, 1.6, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: objective(z, target, given)["loss"], logits.requires_grad_()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("base", [0.01, 10.0])
def test_extreme_outputs_stay_finite(dtype: torch.dtype, base: float) -> None:
    rows = [[500.0, 0.0, -500.0], [0.0, 0.0, 0.0], [-400.0, -400.0, -400.0]]
    logits = torch.tensor(rows, dtype=dtype, requires_grad=True)
    for eps in (0.0, 1e-5):
        result = AldrKL(base, normalize="none", eps=eps)(logits, torch.tensor([2, 0, 1]))
        assert result["loss"].dtype == torch.float32
        assert result["loss"].isfinite()
        assert result["temperature"].isfinite()
        result["loss"].backward()
    assert logits.grad.isfinite().all()


def test_reductions_and_one_hot_rows() -> None:
    logits, target = random_outputs(9, 4)
    each = AldrKL(reduction="none")(logits, target)
    assert each["loss"].shape == (9,)
    assert each["temperature"].shape == ()
    torch.testing.assert_close(AldrKL()(logits, target)["loss"], each["loss"].mean())
    torch.testing.assert_close(AldrKL(reduction="sum")(logits, target)["loss"], each["loss"].sum())
    rows = torch.nn.functional.one_hot(target, 4).float()
    assert AldrKL()(logits, rows)["loss"] == AldrKL()(logits, target)["loss"]
    assert repr(AldrKL()) == "AldrKL(temperature=10, alpha=2, margin=0.1)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"alpha": 1.0}, "alpha must be a number above 1, got 1.0"),
        ({"alpha": math.inf}, "alpha must be"),
        ({"margin": -1.0}, "margin must be"),
        ({"normalize": "max"}, "normalize must be"),
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1, got 0"),
        ({"num_steps": 2.5}, "num_steps must be"),
        ({"num_steps": True}, "num_steps must be"),
        ({"eps": -1e-9}, "eps must be a number of at least 0"),
        ({"reduction": "average"}, "mean, sum or none"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AldrKL(**options)


def test_one_class_and_soft_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 outputs"):
        AldrKL()(torch.zeros(3, 1), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="soft targets"):
        AldrKL()(torch.zeros(2, 2), torch.full((2, 2), 0.5))


def test_a_step_without_eps_has_no_logarithm_of_zero() -> None:
    scores = torch.tensor([[1e6, 0.0, 0.0]])
    close(next_temperature(scores, torch.ones(1), 1.0, 2.0, eps=0.0), [0.5], 1e-7)
