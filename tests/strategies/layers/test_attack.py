"""Balls, steps and starts of attacks, against slow projections and by their invariants."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from trainwright.strategy import Context
from trainwright_strategies.layers.attack import Attack, Norm, attacked_column

IDS = torch.arange(40)


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(40, 1, 3, 3, generator=generator, dtype=torch.float64).to(dtype)


def random(update: int = 0):
    return Context(seed=3, update=update).rng("attack", "sample", IDS)


def length(delta: Tensor, norm: Norm) -> Tensor:
    delta = delta.flatten(1)
    return delta.abs().amax(1) if norm == "linf" else delta.square().sum(1).sqrt()


def pull(x: Tensor) -> Tensor:
    """The gradient of what is largest at 0.9."""
    return 0.9 - x


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
def test_start_and_end_lie_in_the_ball_and_in_the_range(norm: Norm, eps: float, clip) -> None:
    attack = Attack(eps=eps, steps=7, norm=norm, clip=clip)
    x = inputs()
    for point in (attack.start(x, random()), attack(x, pull, random())):
        assert (length(point - x, norm) <= eps * (1 + 1e-6)).all()
        assert not torch.equal(point, x)
        if clip is not None:
            assert point.min() >= 0
            assert point.max() <= 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_projection_against_one_sample_at_a_time(norm: Norm) -> None:
    attack = Attack(eps=0.3, norm=norm, clip=None)
    x = inputs()
    moved = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    for row, point, found in zip(x, moved, attack.project(x, moved), strict=True):
        delta = (point - row).flatten().tolist()
        if norm == "linf":
            expected = [max(-0.3, min(0.3, value)) for value in delta]
        else:
            size = math.sqrt(sum(value * value for value in delta))
            expected = [value * min(1.0, 0.3 / size) for value in delta]
        assert (found - row).flatten().tolist() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(attack.project(x, x), x)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_has_its_length_and_direction(norm: Norm) -> None:
    attack = Attack(eps=1.0, step_size=0.125, norm=norm, clip=None)
    x, gradient = inputs(), torch.randn(40, 1, 3, 3, dtype=torch.float64)
    moved = attack.step(x, x, attack.along()(gradient))
    torch.testing.assert_close(length(moved - x, norm), torch.full((40,), 0.125).double())
    dual = gradient.abs().sum((1, 2, 3)) if norm == "linf" else length(gradient, "l2")
    gain = ((moved - x) * gradient).sum((1, 2, 3))
    torch.testing.assert_close(gain, 0.125 * dual)
    torch.testing.assert_close(attack.step(x, x, attack.along()(torch.zeros_like(x))), x)


def test_other_directions() -> None:
    gradients = [torch.randn(4, 3, dtype=torch.float64) for _ in range(5)]
    raw = Attack(eps=1.0, direction="gradient").along()
    assert all(torch.equal(raw(one), one) for one in gradients)
    point = nn.Parameter(torch.zeros(4, 3, dtype=torch.float64))
    optimizer = torch.optim.Adam([point], lr=1.0, maximize=True)
    adam = Attack(eps=1.0, direction="adam").along()
    for one in gradients:
        before, point.grad = point.detach().clone(), one.clone()
        optimizer.step()
        torch.testing.assert_close(adam(one), point.detach() - before)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball(norm: Norm) -> None:
    """The share within half the radius is (1/2) ** dimension, here of two."""
    ids = torch.arange(4000)
    x = torch.zeros(4000, 2)
    start = Attack(eps=2.0, norm=norm, clip=None).start(
        x, Context(seed=0).rng("attack", "sample", ids)
    )
    assert (length(start, norm) <= 2).all()
    assert (length(start, norm) < 1).float().mean() == pytest.approx(0.25, abs=0.03)
    assert start.mean(0).abs().max() < 0.06


def test_starts_belong_to_samples_and_updates() -> None:
    attack, x = Attack(eps=0.1), inputs()
    whole = attack.start(x, random())
    part = attack.start(x[7:9], Context(seed=3).rng("attack", "sample", IDS[7:9]))
    assert torch.equal(part, whole[7:9])
    assert not torch.equal(attack.start(x, random(update=1)), whole)
    assert torch.equal(Attack(eps=0.1, random_start=False).start(x, random()), x)


def test_the_ascent_is_that_of_a_plain_loop() -> None:
    attack = Attack(eps=0.2, steps=6, step_size=0.06, clip=(0.0, 1.0))
    x = inputs()
    moved = attack.start(x, random())
    for _ in range(6):
        moved = torch.minimum(torch.maximum(moved + 0.06 * pull(moved).sign(), x - 0.2), x + 0.2)
        moved = moved.clamp(0, 1)
    torch.testing.assert_close(attack(x, pull, random()), moved)


def test_half_precision_keeps_small_steps() -> None:
    """Near 1 neighbouring bfloat16 numbers are 0.0078 apart: steps of 0.001 would be lost."""
    x = torch.full((40, 4), 0.5, dtype=torch.bfloat16)
    seen = []

    def gradient(moved: Tensor) -> Tensor:
        seen.append(moved.dtype)
        return torch.ones_like(moved)

    attack = Attack(eps=0.02, steps=20, step_size=0.001, random_start=False)
    moved = attack(x, gradient, random())
    assert set(seen) == {torch.bfloat16}
    assert moved.dtype == torch.bfloat16
    torch.testing.assert_close(moved.float(), torch.full((40, 4), 0.52), atol=0.002, rtol=0)


def test_radius_zero_is_no_attack() -> None:
    def never(moved: Tensor) -> Tensor:
        raise AssertionError("a gradient is asked for")

    x = inputs()
    assert Attack(eps=0.0)(x, never, random()) is x


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": -0.1}, "eps must be a number of at least 0, got -0.1"),
        ({"eps": math.inf}, "eps must be a number"),
        ({"eps": 1.0, "steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"eps": 1.0, "steps": 1.5}, "steps must be a whole number"),
        ({"eps": 1.0, "step_size": 0.0}, "step_size must be None or a number above 0"),
        ({"eps": 1.0, "norm": "l1"}, "norm must be linf or l2, got 'l1'"),
        ({"eps": 1.0, "direction": "up"}, "direction must be one of steepest, gradient, adam"),
        ({"eps": 1.0, "clip": (1.0, 0.0)}, "clip must be a smaller and a larger number"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Attack(**options)


def test_inputs_beyond_the_range() -> None:
    with pytest.raises(ValueError, match=r"inputs lie in \[-1, 1\.5\], beyond the valid range"):
        Attack(eps=0.1)(torch.tensor([[-1.0, 1.5]]), pull, random())


def test_which_column_is_attacked() -> None:
    batch = {"image": torch.zeros(2, 3), "target": torch.zeros(2, dtype=torch.int64)}
    weighted = {**batch, "sample_weight": torch.ones(2)}
    assert attacked_column(weighted, None) == "image"
    two = {**batch, "text": torch.zeros(2, 3)}
    assert attacked_column(two, "text") == "text"
    with pytest.raises(ValueError, match="option column says which of image, text"):
        attacked_column(two, None)
    with pytest.raises(ValueError, match="names 'target', which is none of them: of image"):
        attacked_column(batch, "target")
