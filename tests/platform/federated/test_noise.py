from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from trainwright.federated.privacy.noise import central_noise, count_noise, local_noise

CLIENTS = torch.arange(40)
DRAWS: dict[str, Callable[..., Tensor]] = {
    "central": lambda seed, round: central_noise(20_000, 3.0, seed, round),
    "local": lambda seed, round: local_noise(500, 3.0, seed, round, CLIENTS),
    "count": lambda seed, round: torch.tensor(
        [count_noise(3.0, seed, 500 * round + later) for later in range(500)]
    ),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_it_is_gaussian_of_the_standard_deviation(draw: Callable[..., Tensor]) -> None:
    numbers = draw(0, 0).flatten() / 3
    assert stats.kstest(numbers.numpy(), "norm").pvalue > 0.001


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_seed_and_round_decide(draw: Callable[..., Tensor]) -> None:
    first = draw(1, 2)
    assert draw(1, 2).equal(first)
    for other in (draw(2, 2), draw(1, 3)):
        together = torch.stack([first.flatten(), other.flatten()]).double()
        assert abs(float(torch.corrcoef(together)[0, 1])) < 4 / first.numel() ** 0.5


def test_the_three_are_independent() -> None:
    central, local = DRAWS["central"](0, 0).float(), DRAWS["local"](0, 0).flatten()
    assert abs(float(torch.corrcoef(torch.stack([central, local]))[0, 1])) < 4 / 20_000**0.5
    assert count_noise(3.0, 0, 0) not in (float(central[0]), float(local[0]))


def test_a_client_draws_the_same_in_any_company() -> None:
    together = local_noise(7, 1.0, 3, 5, torch.tensor([4, 9, 2]))
    assert local_noise(7, 1.0, 3, 5, torch.tensor([9])).equal(together[1:2])
    assert not together[0].equal(together[1])
