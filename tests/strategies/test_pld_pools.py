"""Pools of candidates and the choice among them: worked probabilities, draws and their shares."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_objectives.bpr import bpr
from trainwright_strategies.pld_resampling import choose, draw_pools, selection_probabilities


def chi_square(counts: torch.Tensor) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_worked_losses_and_probabilities() -> None:
    positive = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    losses = bpr(positive, torch.zeros(4, dtype=torch.float64), "none")
    expected = torch.tensor([0.126928, 0.313262, 0.693147, 1.313262], dtype=torch.float64)
    torch.testing.assert_close(losses, expected, atol=1e-6, rtol=0)
    for temperature, worked in (
        (0.1, [0.863084, 0.133911, 0.002999, 0.000006]),
        (0.5, [0.475201, 0.327363, 0.153132, 0.044304]),
        (5.0, [0.274338, 0.264303, 0.244966, 0.216393]),
    ):
        found = selection_probabilities(losses[None], temperature)[0]
        expected = torch.tensor(worked, dtype=torch.float64)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_two_levels_of_loss() -> None:
    losses = torch.tensor([[0.7, 0.7, 0.2, 0.2, 0.2]], dtype=torch.float64)
    probabilities = selection_probabilities(losses, 0.5)
    noisy = 2 * math.exp(-0.7 / 0.5)
    expected = noisy / (noisy + 3 * math.exp(-0.2 / 0.5))
    assert expected == pytest.approx(0.196950, abs=1e-6)
    assert probabilities[0, :2].sum().item() == pytest.approx(expected, abs=1e-12)
    draws = 100_000
    chosen = choose(probabilities.expand(draws, -1), torch.rand(draws, dtype=torch.float64))
    share = (chosen < 2).double().mean().item()
    assert abs(share - expected) < 4 * (expected * (1 - expected) / draws) ** 0.5


def test_only_differences_within_a_pool_count() -> None:
    losses = torch.rand(7, 5, dtype=torch.float64)
    level = 10 * torch.rand(7, 1, dtype=torch.float64)
    found = selection_probabilities(losses + level, 0.1)
    torch.testing.assert_close(found, selection_probabilities(losses, 0.1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_losses_in_any_precision(dtype: torch.dtype) -> None:
    losses = torch.tensor([[3e4, 3e4 + 64.0], [0.0, 6e4]], dtype=dtype)
    found = selection_probabilities(losses, 0.01)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_a_choice_is_the_interval_that_holds_the_number() -> None:
    p = torch.tensor([[0.25, 0.0, 0.5, 0.25]]).expand(6, -1)
    u = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-24])
    assert choose(p, u).tolist() == [0, 0, 2, 2, 3, 3]
    assert choose(p[:1], u[:1]).shape == (1,)


def test_pools_hold_their_owner_and_others_without_repeats() -> None:
    sizes = torch.randint(4, 9, (20_000,))
    own = (torch.rand(20_000) * sizes).long()
    pools = draw_pools(own, sizes, torch.rand(20_000, 3))
    assert torch.equal(pools[:, 0], own)
    assert (pools < sizes[:, None]).all()
    assert (pools >= 0).all()
    assert (pools.sort(dim=1).values.diff(dim=1) > 0).all()


def test_every_set_of_others_is_as_likely() -> None:
    count = 60_000
    pools = draw_pools(torch.full((count,), 2), torch.full((count,), 5), torch.rand(count, 2))
    pairs = pools[:, 1:].sort(dim=1).values
    counts = torch.bincount(5 * pairs[:, 0] + pairs[:, 1])
    counts = counts[counts > 0].double()
    assert len(counts) == 6
    assert chi_square(counts) < 20.5  # 99.9 % with five degrees of freedom


def test_small_groups_are_drawn_from_with_replacement() -> None:
    count = 30_000
    pools = draw_pools(torch.zeros(count).long(), torch.full((count,), 3), torch.rand(count, 4))
    assert pools.max() == 2
    for column in pools[:, 1:].T:
        assert chi_square(torch.bincount(column).double()) < 13.8  # two degrees of freedom
    alone = draw_pools(torch.zeros(2).long(), torch.ones(2).long(), torch.rand(2, 4))
    assert (alone == 0).all()
