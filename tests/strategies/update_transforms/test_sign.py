from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainwright_strategies.update_transforms.sign import Sign

VECTORS = arrays("float32", st.integers(1, 40), elements=st.floats(-1e3, 1e3, width=32))


def round_trip(transform: Sign, update: torch.Tensor) -> torch.Tensor:
    return transform.decode(transform.encode(update, torch.Generator()))


def test_a_worked_example() -> None:
    update = torch.tensor([1.0, -2.0, 0.0, 5.0])
    assert round_trip(Sign(), update).tolist() == [2.0, -2.0, 2.0, 2.0]


def test_the_last_bucket_is_no_smaller_for_being_short() -> None:
    encoded = Sign(bucket_size=2).encode(torch.tensor([1.0, 3.0, -8.0]), torch.Generator())
    assert encoded.side["scale"].tolist() == [2.0, 8.0]
    assert encoded.num_bytes == 2 * 4
    assert Sign(bucket_size=2).decode(encoded).tolist() == [2.0, 2.0, -8.0]


@given(VECTORS)
def test_what_is_lost_is_what_the_equation_says(array) -> None:
    update = torch.from_numpy(array).double()
    lost = (update - round_trip(Sign(), update)).square().sum()
    expected = update.square().sum() - update.abs().sum() ** 2 / len(update)
    assert float(lost) == pytest.approx(float(expected), rel=1e-9, abs=1e-6)


@given(VECTORS, st.floats(0.5, 2))
def test_no_other_scale_is_nearer(array, factor: float) -> None:
    update = torch.from_numpy(array).double()
    decoded = round_trip(Sign(), update)
    lost = (update - decoded).square().sum()
    assert lost <= (update - factor * decoded).square().sum() + 1e-9 * update.square().sum()


@given(VECTORS, st.integers(1, 9))
def test_signs_and_shapes(array, width: int) -> None:
    update = torch.from_numpy(array)
    encoded = Sign(width).encode(update, torch.Generator())
    assert set(encoded.values.tolist()) <= {-1.0, 1.0}
    assert ((encoded.values > 0) == (update >= 0)).all()
    assert Sign(width).decode(encoded).shape == update.shape


def test_a_wrong_size_of_buckets_is_refused() -> None:
    with pytest.raises(ValueError, match="bucket_size must be a whole number of at least 1, got"):
        Sign(bucket_size=0)
