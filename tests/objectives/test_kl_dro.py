"""KL-DRO against worked numbers, the maximum over weights that it is, and its limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from trainwright_objectives.kl_dro import KlDro, kl_dro, log_mean_exp, moving_log_mean

LOSSES = torch.tensor([0.2, 1.0, 2.5, 0.7], dtype=torch.float64)


def random_batch(num: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(num, 5, dtype=torch.float64, generator=generator)
    return logits, torch.randint(5, (num,), generator=generator)


def by_hand(losses: list[float], temperature: float) -> tuple[float, list[float]]:
    """The definition: the worst weights, and the weighted mean less their divergence."""
    powers = [math.exp(loss / temperature) for loss in losses]
    weights = [power / sum(powers) for power in powers]
    pairs = list(zip(weights, losses, strict=True))
    divergence = sum(w * math.log(len(losses) * w) for w in weights)
    return sum(w * loss for w, loss in pairs) - temperature * divergence, weights


@pytest.mark.parametrize(
    ("temperature", "value", "weights"),
    [
        (1.0, 1.511601, [0.067347, 0.149884, 0.671732, 0.111037]),
        (10.0, 1.137540, [0.227627, 0.246585, 0.286491, 0.239297]),
        (0.1, 2.361371, [0.0, 0.0, 1.0, 0.0]),
    ],
)
def test_worked_values_and_weights(temperature: float, value: float, weights: list[float]) -> None:
    losses = LOSSES.clone().requires_grad_()
    loss = kl_dro(losses, temperature)
    assert loss.item() == pytest.approx(value, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, losses)
    assert gradient.tolist() == pytest.approx(weights, abs=1e-6)
    expected, exact = by_hand(LOSSES.tolist(), temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    assert gradient.tolist() == pytest.approx(exact, rel=1e-9)


def test_worked_normaliser() -> None:
    assert log_mean_exp(LOSSES).exp().item() == pytest.approx(4.533983, abs=1e-6)


def test_limits_are_the_mean_and_the_maximum() -> None:
    assert kl_dro(LOSSES, 1e4).item() == pytest.approx(1.100037, abs=1e-6)
    assert kl_dro(LOSSES, 1e-3).item() == pytest.approx(2.498614, abs=1e-6)
    assert kl_dro(LOSSES, 1e-3).item() == pytest.approx(2.5 - 1e-3 * math.log(4), abs=1e-9)
    logits, target = random_batch()
    logits.requires_grad_()
    robust = torch.autograd.grad(KlDro(1e6)(logits, target)["loss"], logits)[0]
    plain = torch.autograd.grad(cross_entropy(logits, target), logits)[0]
    torch.testing.assert_close(robust, plain, rtol=1e-4, atol=1e-8)


def test_convex_and_equivariant_to_a_shift() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        first, second = torch.randn(2, 6, dtype=torch.float64, generator=generator).mul(3)
        middle = kl_dro((first + second) / 2, 0.7)
        assert middle <= (kl_dro(first, 0.7) + kl_dro(second, 0.7)) / 2 + 1e-12
        torch.testing.assert_close(kl_dro(first + 4.0, 0.7), kl_dro(first, 0.7) + 4.0)


def test_no_overflow_at_small_temperatures() -> None:
    losses = torch.tensor([0.0, 50.0, 90.0], requires_grad=True)
    loss = kl_dro(losses, 1e-3)
    loss.backward()
    assert loss.item() == pytest.approx(90.0 - 1e-3 * math.log(3))
    assert losses.grad.tolist() == [0.0, 0.0, 1.0]


def test_objective_is_the_loss_of_cross_entropies() -> None:
    logits, target = random_batch()
    each = cross_entropy(logits, target, reduction="none")
    value, weights = by_hand(each.tolist(), 0.8)
    found = KlDro(0.8)(logits, target)
    assert found["loss"].item() == pytest.approx(value, rel=1e-10)
    assert found["largest_weight"].item() == pytest.approx(max(weights), rel=1e-10)
    single = KlDro(0.8)(logits.float(), target)["loss"]
    assert single.item() == pytest.approx(value, rel=1e-5)
    logits.requires_grad_()
    torch.autograd.gradcheck(lambda x: KlDro(0.8)(x, target)["loss"], logits)


def test_moving_average_in_logarithms() -> None:
    def log(x: float) -> torch.Tensor:
        return torch.tensor(x, dtype=torch.float64).log()

    for before, now, eta in ((1.0, 3.0, 0.5), (2.0, 0.1, 0.1), (5.0, 7.0, 1.0)):
        expected = log((1 - eta) * before + eta * now)
        torch.testing.assert_close(moving_log_mean(log(before), log(now), eta), expected)
    nothing = torch.tensor(math.nan, dtype=torch.float64)
    torch.testing.assert_close(moving_log_mean(nothing, log(3.0), 0.2), log(3.0))


def test_moving_normaliser_weighs_by_all_batches_so_far() -> None:
    objective = KlDro(temperature=0.8, eta=0.25)
    u = None
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(7, 5, generator=generator).double().requires_grad_()
        target = torch.randint(5, (7,), generator=generator)
        each = cross_entropy(logits, target, reduction="none")
        now = (each.detach() / 0.8).exp().mean().item()
        u = now if u is None else 0.75 * u + 0.25 * now
        result = objective(logits, target)
        loss = result["loss"]
        assert loss.item() == pytest.approx(0.8 * math.log(u), rel=1e-5)
        found = torch.autograd.grad(loss, logits, retain_graph=True)[0]
        weights = (each.detach() / 0.8).exp() / u
        assert result["largest_weight"].item() == pytest.approx(weights.max().item() / 7, rel=1e-5)
        expected = torch.autograd.grad((weights * each).mean(), logits)[0]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    objective.eval()
    before = objective.log_u.clone()
    assert objective(logits, target)["loss"] == KlDro(0.8)(logits, target)["loss"]
    assert torch.equal(objective.log_u, before)


def test_first_batch_of_a_moving_normaliser_has_the_gradient_of_the_batch() -> None:
    logits, target = random_batch()
    logits.requires_grad_()
    pair = [KlDro(0.7, eta)(logits, target)["loss"] for eta in (0.3, 1.0)]
    torch.testing.assert_close(pair[0], pair[1], rtol=1e-6, atol=0)
    moving, exact = (torch.autograd.grad(loss, logits)[0] for loss in pair)
    torch.testing.assert_close(moving, exact, rtol=1e-5, atol=1e-8)


def test_equal_losses_weigh_the_same() -> None:
    logits = torch.zeros(6, 4, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 0, 1])
    found = torch.autograd.grad(KlDro(0.1)(logits, target)["loss"], logits)[0]
    plain = torch.autograd.grad(cross_entropy(logits, target), logits)[0]
    torch.testing.assert_close(found, plain)


def test_a_batch_with_a_nan_does_not_spoil_the_normaliser() -> None:
    logits, target = random_batch()
    objective = KlDro(1.0, eta=0.5)
    objective(logits, target)
    before = objective.log_u.clone()
    assert objective(logits * math.nan, target)["loss"].isnan()
    assert torch.equal(objective.log_u, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = random_batch()
    logits = (8 * logits).to(dtype).requires_grad_()
    loss = KlDro(0.1)(logits, target)["loss"]
    assert loss.dtype == torch.float32
    assert loss == KlDro(0.1)(logits.float(), target)["loss"]
    loss.backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
        ({"temperature": math.nan}, "temperature must be a number above 0"),
        ({"eta": 0.0}, "eta must be above 0 and at most 1, got 0.0"),
        ({"eta": 1.5}, "eta must be above 0 and at most 1"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KlDro(**options)


def test_ill_inputs() -> None:
    with pytest.raises(ValueError, match="soft targets"):
        KlDro()(torch.zeros(2, 3), torch.zeros(2, 3))
    assert "temperature=2, eta=0.5" in repr(KlDro(2.0, 0.5))
