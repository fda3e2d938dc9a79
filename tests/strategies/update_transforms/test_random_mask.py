from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainwright_strategies.update_transforms.random_mask import RandomMask


def round_trip(fraction: float, update: torch.Tensor, seed: int) -> torch.Tensor:
    transform = RandomMask(fraction)
    return transform.decode(transform.encode(update, torch.Generator().manual_seed(seed)))


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_elements_are_scaled_or_zero(size: int, fraction: float, seed: int) -> None:
    update = torch.arange(1.0, size + 1)
    encoded = RandomMask(fraction).encode(update, torch.Generator().manual_seed(seed))
    decoded = RandomMask(fraction).decode(encoded)
    sent = decoded != 0
    assert int(sent.sum()) == len(encoded.values)
    torch.testing.assert_close(decoded[sent], update[sent] * size / len(encoded.values))
    assert encoded.num_bytes == 4


def test_the_mean_over_many_draws_is_the_update() -> None:
    torch.manual_seed(0)
    update, draws = torch.randn(20), 4000
    decoded = torch.stack([round_trip(0.25, update, seed) for seed in range(draws)])
    variance = (20 / 5 - 1) * update.square()
    error = (decoded.mean(dim=0) - update).abs() / (variance / draws).sqrt()
    assert error.max() < 4
    total = (decoded - update).square().sum(dim=1).mean()
    assert float(total / (3 * update.square().sum())) == pytest.approx(1, abs=0.03)


def test_everything_sent_is_the_update_itself() -> None:
    update = torch.randn(7)
    assert round_trip(1.0, update, 3).equal(update)


def test_another_seed_chooses_other_places() -> None:
    update = torch.ones(1000)
    assert not round_trip(0.5, update, 1).equal(round_trip(0.5, update, 2))
    assert round_trip(0.5, update, 1).equal(round_trip(0.5, update, 1))


def test_the_places_do_not_hang_on_the_values_that_arrive() -> None:
    """A later transform changes the values on their way; the places come from the seed alone."""
    encoded = RandomMask(0.5).encode(torch.arange(1.0, 9), torch.Generator())
    changed = RandomMask(0.5).decode(replace(encoded, values=torch.ones(4)))
    assert ((changed != 0) == (RandomMask(0.5).decode(encoded) != 0)).all()


@pytest.mark.parametrize("fraction", [0, 1.5])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction must be above 0 and at most 1, got"):
        RandomMask(fraction)
