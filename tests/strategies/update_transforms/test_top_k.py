from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainwright_strategies.update_transforms.top_k import TopK

VECTORS = arrays("float32", st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32))
FRACTIONS = st.floats(0.01, 1)


def round_trip(fraction: float, update: torch.Tensor) -> torch.Tensor:
    transform = TopK(fraction)
    return transform.decode(transform.encode(update, torch.Generator()))


def test_the_largest_elements_stay_where_they_are() -> None:
    update = torch.tensor([0.5, -3.0, 0.0, 2.0, -1.0])
    assert round_trip(0.4, update).tolist() == [0.0, -3.0, 0.0, 2.0, 0.0]
    assert round_trip(1.0, update).equal(update)


def test_values_are_sent_in_the_order_of_their_places() -> None:
    encoded = TopK(0.4).encode(torch.tensor([0.5, -3.0, 0.0, 2.0, -1.0]), torch.Generator())
    assert encoded.values.tolist() == [-3.0, 2.0]
    assert encoded.side["places"].tolist() == [1, 3]
    assert (encoded.size, encoded.num_bytes) == (5, 2 * 4)
    many = TopK(0.3).encode(torch.randn(1000), torch.Generator()).side["places"]
    assert many.tolist() == sorted(many.tolist())


@pytest.mark.parametrize(
    ("fraction", "size", "sent"), [(0.07, 100, 7), (0.7, 10, 7), (0.1, 31, 4), (0.001, 10, 1)]
)
def test_how_many_are_sent(fraction: float, size: int, sent: int) -> None:
    encoded = TopK(fraction).encode(torch.randn(size), torch.Generator())
    assert len(encoded.values) == sent


@given(VECTORS, FRACTIONS)
def test_what_is_lost_is_no_larger_than_the_bound(array, fraction: float) -> None:
    update = torch.from_numpy(array).double()
    decoded = round_trip(fraction, update)
    assert ((decoded == update) | (decoded == 0)).all()
    left_out, sent = update[decoded == 0].abs(), update[decoded != 0].abs()
    assert not len(left_out) or not len(sent) or left_out.max() <= sent.min()
    lost = (update - decoded).square().sum()
    assert lost <= (1 - fraction) * update.square().sum() * (1 + 1e-9)


@given(VECTORS, FRACTIONS)
def test_it_is_idempotent(array, fraction: float) -> None:
    once = round_trip(fraction, torch.from_numpy(array))
    assert round_trip(fraction, once).equal(once)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction must be above 0 and at most 1, got"):
        TopK(fraction)
