"""The decomposition of the global loss, on worked numbers and for what it promises."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.federated.server.decomposition import decomposition

LOSSES = st.floats(0, 1e3)
CLIENTS = st.lists(st.tuples(LOSSES, LOSSES, st.integers(0, 10**6)), min_size=1, max_size=50)


def test_worked_by_hand() -> None:
    """Two clients with one and three samples."""
    found = decomposition([0.1, 0.3], [2.1, 1.3], [1, 3], global_loss=1.0)
    assert found == pytest.approx(
        {
            "decomposition/local_loss": 0.25,
            "decomposition/distribution_shift": 1.25,
            "decomposition/aggregation": -0.5,
        }
    )


@given(CLIENTS.filter(lambda clients: any(weight for *_, weight in clients)), LOSSES)
def test_the_terms_add_up_to_the_global_loss(
    clients: list[tuple[float, float, int]], global_loss: float
) -> None:
    local, shifted, weights = zip(*clients, strict=True)
    found = decomposition(local, shifted, weights, global_loss)
    assert math.fsum(found.values()) == pytest.approx(global_loss, rel=1e-12, abs=1e-9)


def test_one_client_with_all_samples_has_neither_shift_nor_aggregation() -> None:
    found = decomposition([0.7], [0.7], [20], global_loss=0.7)
    assert list(found.values()) == [0.7, 0.0, 0.0]


def test_clients_without_weight_do_not_count() -> None:
    found = decomposition([0.5, math.nan], [0.9, math.inf], [2, 0], global_loss=1.0)
    assert list(found.values()) == pytest.approx([0.5, 0.4, 0.1])


def test_losses_that_are_not_finite_are_told_not_raised() -> None:
    found = decomposition([0.5, 0.5], [math.inf, -math.inf], [1, 1], global_loss=1.0)
    assert found["decomposition/local_loss"] == 0.5
    assert math.isnan(found["decomposition/aggregation"])


@pytest.mark.parametrize(
    ("counts", "weights", "message"),
    [
        ((1, 2), [1.0, 1.0], "got 1 local ones, 2 on the global samples and 2 weights"),
        ((0, 0), [], "weights must be at least 0 and one of them above, got []"),
        ((2, 2), [0.0, 0.0], "weights must be at least 0 and one of them above"),
        ((2, 2), [2.0, -1.0], "weights must be at least 0 and one of them above"),
        ((2, 2), [math.nan, 1.0], "weights must be at least 0 and one of them above"),
    ],
)
def test_what_makes_no_average(counts: tuple[int, int], weights: list[float], message: str) -> None:
    local, shifted = counts
    with pytest.raises(ValueError, match=re.escape(message)):
        decomposition([0.0] * local, [0.0] * shifted, weights, 0.0)
