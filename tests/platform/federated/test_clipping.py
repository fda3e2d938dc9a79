from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainwright.federated.privacy.clipping import clipped, norms

UPDATES = arrays("float32", (3, 5), elements=st.floats(-1e4, 1e4, width=32))
CLIPS = st.floats(1e-3, 1e4)


def test_a_worked_example() -> None:
    updates, within = clipped(torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), 1.0)
    torch.testing.assert_close(updates, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    assert within.tolist() == [False, True, True]


def test_a_single_update_is_clipped_as_one_of_many() -> None:
    update, within = clipped(torch.tensor([3.0, 4.0]), 2.5)
    assert update.tolist() == [1.5, 2.0]
    assert within.shape == ()
    assert not within


def test_norms_are_those_of_float64() -> None:
    """In float32 the square of 1e25 is infinite."""
    assert norms(torch.tensor([1e25, 0.0])).isfinite()
    assert clipped(torch.tensor([1e25, 0.0]), 1.0)[0].tolist() == [1.0, 0.0]


@given(UPDATES, CLIPS)
def test_no_update_is_longer_and_none_turns(array, clip: float) -> None:
    updates = torch.from_numpy(array)
    result, within = clipped(updates, clip)
    assert (norms(result) <= clip * (1 + 1e-6)).all()
    assert result[within].equal(updates[within])
    assert (within == (norms(updates) <= clip)).all()
    length = norms(updates)[~within]
    direction = updates[~within].double() / length.unsqueeze(1)
    torch.testing.assert_close(result[~within].double(), clip * direction, rtol=1e-5, atol=1e-6)
