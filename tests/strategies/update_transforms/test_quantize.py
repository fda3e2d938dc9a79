from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainwright_strategies.update_transforms.quantize import Quantize

VECTORS = arrays("float32", st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32))


def round_trip(transform: Quantize, update: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return transform.decode(transform.encode(update, torch.Generator().manual_seed(seed)))


def test_a_worked_example() -> None:
    """Three bits: levels 0 to 3, of a scale of 6, are 2 apart."""
    transform = Quantize(bits=3, stochastic=False)
    encoded = transform.encode(torch.tensor([6.0, -2.9, 0.9, -5.1, 0.0]), torch.Generator())
    assert encoded.values.tolist() == [3.0, -1.0, 0.0, -3.0, 0.0]
    assert encoded.side["scale"].tolist() == [6.0]
    assert transform.decode(encoded).tolist() == [6.0, -2.0, 0.0, -6.0, 0.0]


def test_each_bucket_has_a_scale() -> None:
    transform = Quantize(bits=2, stochastic=False, bucket_size=2)
    encoded = transform.encode(torch.tensor([4.0, 1.0, 0.25, -0.25, 3.0]), torch.Generator())
    assert encoded.side["scale"].tolist() == [4.0, 0.25, 3.0]
    assert encoded.num_bytes == 3 * 4
    assert transform.decode(encoded).tolist() == [4.0, 0.0, 0.25, -0.25, 3.0]


@given(VECTORS, st.integers(1, 16), st.booleans(), st.none() | st.integers(1, 9))
def test_error_and_levels_are_bounded(array, bits: int, stochastic: bool, width) -> None:
    transform = Quantize(bits, stochastic or bits == 1, width)
    update = torch.from_numpy(array)
    encoded = transform.encode(update, torch.Generator().manual_seed(1))
    levels = max(2 ** (bits - 1) - 1, 1)
    assert encoded.values.shape == update.shape
    assert encoded.values.abs().max() <= levels
    assert (encoded.values == encoded.values.round()).all()
    assert len(encoded.values.unique()) <= 2**bits
    decoded = transform.decode(encoded)
    assert decoded.shape == update.shape
    largest = [row.abs().max().expand(len(row)) for row in update.split(width or len(update))]
    step = torch.cat(largest).double() / levels * (2 if bits == 1 else 1)
    allowed = step if transform.stochastic else step / 2
    rounding = torch.cat(largest).double() * 1e-6 + 1e-40
    assert ((decoded.double() - update.double()).abs() <= allowed + rounding).all()


@given(VECTORS, st.integers(2, 16))
def test_quantized_updates_are_left_as_they_are(array, bits: int) -> None:
    transform = Quantize(bits, stochastic=False)
    once = round_trip(transform, torch.from_numpy(array))
    torch.testing.assert_close(round_trip(transform, once), once)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_mean_over_many_draws_is_the_update(bits: int) -> None:
    torch.manual_seed(0)
    update, draws = torch.randn(30), 4000
    transform = Quantize(bits, bucket_size=10)
    decoded = torch.stack([round_trip(transform, update, seed) for seed in range(draws)])
    deviation = decoded.double().std(dim=0) + 1e-9
    error = (decoded.double().mean(dim=0) - update).abs() / (deviation / draws**0.5)
    assert error.max() < 4
    levels = max(2 ** (bits - 1) - 1, 1) / (2 if bits == 1 else 1)
    largest = update.view(3, 10).abs().amax(dim=1).repeat_interleave(10)
    assert (deviation <= largest / (2 * levels) * 1.03 + 1e-8).all()


def test_zeros_stay_zeros() -> None:
    assert round_trip(Quantize(4), torch.zeros(5)).tolist() == [0.0] * 5
    assert round_trip(Quantize(1), torch.zeros(5)).abs().tolist() == [0.0] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 0}, "bits must be a whole number of at least 1, got 0"),
        ({"bits": 17}, "bits must be from 1 to 16, got 17"),
        ({"bits": 2.5}, "bits must be a whole number"),
        ({"bits": 1, "stochastic": False}, "one bit must be stochastic.*take sign"),
        ({"bucket_size": 0}, "bucket_size must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quantize(**options)
