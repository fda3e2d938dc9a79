"""The comp-sum losses against worked numbers, their sum of exponentials, and their members."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from trainwright_objectives.comp_sum import CompSum, comp_sum

WORKED = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
TAUS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


def label(index: int) -> torch.Tensor:
    return torch.tensor([index])


def random_scores(num: int = 20, classes: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(num, classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (num,), generator=generator)


def by_hand(values: list[float], target: int, tau: float, temperature: float) -> float:
    """An outer function of the sum over all other classes, with Python floats and no tricks."""
    others = [v for index, v in enumerate(values) if index != target]
    total = sum(math.exp(-(values[target] - other) / temperature) for other in others)
    if tau == 1:
        return math.log(1 + total)
    return ((1 + total) ** (1 - tau) - 1) / (1 - tau)


@pytest.mark.parametrize(
    ("target", "temperature", "worked"),
    [
        (0, 1.0, (0.553002, 0.492390, 0.440190, 0.395115, 0.356086, 0.292687)),
        (3, 1.0, (30.192875, 9.170116, 3.440190, 1.641902, 0.967941, 0.499486)),
        (0, 0.5, (0.156130, None, 0.145078, None, 0.135045, None)),
    ],
)
def test_worked_values(target: int, temperature: float, worked: tuple[float | None, ...]) -> None:
    for tau, value in zip(TAUS, worked, strict=True):
        if value is not None:
            found = comp_sum(WORKED, label(target), tau, temperature).item()
            assert found == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("tau", [*TAUS, 0.3, 1.7])
@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_the_loss_is_the_function_of_a_sum(tau: float, temperature: float) -> None:
    logits, target = random_scores()
    each = comp_sum(logits, target, tau, temperature, reduction="none")
    pairs = zip(logits.tolist(), target.tolist(), strict=True)
    exact = torch.tensor([by_hand(*p, tau, temperature) for p in pairs], dtype=torch.float64)
    torch.testing.assert_close(each, exact, rtol=1e-10, atol=0)
    single = comp_sum(logits.float(), target, tau, temperature, reduction="none")
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=0)
    assert comp_sum(logits, target, tau, temperature) == each.mean()
    assert comp_sum(logits, target, tau, temperature, "sum") == each.sum()


def test_members_of_the_family() -> None:
    logits, target = random_scores()
    p = logits.softmax(1)[torch.arange(20), target]
    margins = logits - logits[torch.arange(20), target].unsqueeze(1)
    exact = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(
        comp_sum(logits, target, 1.0), cross_entropy(logits, target), **exact
    )
    torch.testing.assert_close(comp_sum(logits, target, 2.0), (1 - p).mean(), **exact)
    torch.testing.assert_close(
        comp_sum(logits, target, 0.0), (margins.exp().sum(1) - 1).mean(), **exact
    )
    for q in (0.3, 0.7):
        generalised = ((1 - p**q) / q).mean()
        torch.testing.assert_close(comp_sum(logits, target, 1 + q), generalised, **exact)


@pytest.mark.parametrize("tau", TAUS)
def test_gradient_is_that_of_cross_entropy_times_a_power(tau: float) -> None:
    logits, target = random_scores()
    logits.requires_grad_()
    comp_sum(logits, target, tau, reduction="sum").backward()
    p = logits.detach().softmax(1)
    one_hot = torch.nn.functional.one_hot(target, 6)
    factor = p[torch.arange(20), target].unsqueeze(1) ** (tau - 1)
    torch.testing.assert_close(logits.grad, factor * (p - one_hot), rtol=1e-9, atol=1e-12)
    torch.autograd.gradcheck(lambda x: comp_sum(x, target, tau, 0.8, "none"), logits)


def test_worked_gradient() -> None:
    logits = WORKED.clone().requires_grad_()
    comp_sum(logits, label(0), tau=0.0).backward()
    worked = torch.tensor([[-0.553002, 0.367879, 0.135335, 0.049787]], dtype=torch.float64)
    torch.testing.assert_close(logits.grad, worked, rtol=0, atol=1e-6)


def test_decreasing_and_continuous_in_tau() -> None:
    logits, target = random_scores()
    taus = [0.05 * index for index in range(61)]
    losses = torch.stack([comp_sum(logits, target, tau, reduction="none") for tau in taus])
    assert (losses.diff(dim=0) < 0).all()
    middle = comp_sum(WORKED, label(0))
    for near in (1 - 1e-6, 1 + 1e-6, 1 + 1e-12):
        assert abs(comp_sum(WORKED, label(0), near) - middle) < 1e-6
    # In float32, where 1 - p ** (tau - 1) would have lost all digits.
    near = comp_sum(WORKED.float(), label(0), 1 + 1e-7)
    torch.testing.assert_close(near.double(), middle, rtol=1e-6, atol=0)


@pytest.mark.parametrize("tau", TAUS)
def test_a_shift_of_the_logits_changes_nothing(tau: float) -> None:
    logits, target = random_scores()
    shift = torch.linspace(-30, 30, 20, dtype=torch.float64).unsqueeze(1)
    torch.testing.assert_close(
        comp_sum(logits + shift, target, tau), comp_sum(logits, target, tau), rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tau", TAUS)
def test_half_precision_is_computed_in_float32(tau: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[4.0, -4.0], [-4.0, 4.0]], dtype=dtype, requires_grad=True)
    target = torch.tensor([0, 0])
    loss = comp_sum(logits, target, tau)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, comp_sum(logits.float(), target, tau))
    loss.backward()
    assert logits.grad.isfinite().all()


def test_what_is_certain_has_no_loss_and_what_is_bounded_stays_so() -> None:
    logits = torch.tensor([[400.0, 0.0], [-400.0, 0.0]])
    target = torch.tensor([0, 0])
    for tau, worst in ((1.5, 2.0), (2.0, 1.0), (3.0, 0.5)):
        assert comp_sum(logits, target, tau, reduction="none").tolist() == [0.0, worst]
    assert comp_sum(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 0.5, reduction="sum") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": -0.1}, "tau must be a number of at least 0, got -0.1"),
        ({"tau": math.nan}, "tau must be a number"),
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
        ({"temperature": math.inf}, "temperature must be a number above 0"),
        ({"reduction": "max"}, "reduction must be mean, sum or none, got 'max'"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompSum(**options)
    with pytest.raises(ValueError, match=message):
        comp_sum(WORKED, label(0), **options)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(2, 1), torch.tensor([0, 0]), "needs at least 2 outputs, got 1"),
        (torch.zeros(2, 3), torch.zeros(2, 3), "not defined for soft targets"),
        (torch.zeros(2, 3), torch.tensor([0, 1, 2]), r"must have shape \(2,\)"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), r"lie in \[0, 3\].*allowed are 0 to 2"),
        (torch.zeros(2), torch.tensor([0, 1]), r"must have shape \(N, D\)"),
    ],
)
def test_ill_inputs(logits: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompSum(tau=1.5)(logits, target)


def test_module_is_the_function() -> None:
    logits, target = random_scores()
    objective = CompSum(tau=0.5, temperature=2.0, reduction="sum")
    assert objective(logits, target) == comp_sum(logits, target, 0.5, 2.0, "sum")
    assert "tau=0.5, temperature=2" in repr(objective)
