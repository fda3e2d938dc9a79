from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainwright.errors import RunError
from trainwright.federated.transport.masking import Masks, decode, encode, largest

COHORTS = st.lists(st.integers(0, 10**6), min_size=2, max_size=9, unique=True).map(sorted)


def updates(cohort: list[int], size: int) -> dict[int, torch.Tensor]:
    return {
        client: torch.randn(size, generator=torch.Generator().manual_seed(client))
        for client in cohort
    }


@given(COHORTS, st.sampled_from([2, 4, 6]), st.randoms(use_true_random=False), st.data())
def test_the_sum_is_exactly_that_without_masks(cohort, neighbours, random, data) -> None:
    """In any order, in any groups, and whoever drops out."""
    size = 5
    masks = Masks(7, 3, cohort, neighbours)
    values = {c: encode(u, len(cohort)) for c, u in updates(cohort, size).items()}
    sent = {client: values[client] + masks.of(client, size) for client in cohort}
    arrived = data.draw(st.lists(st.sampled_from(cohort), min_size=1, unique=True))
    random.shuffle(arrived)
    cut = data.draw(st.integers(0, len(arrived)))
    groups = [arrived[:cut], arrived[cut:]]
    total = sum(sum((sent[c] for c in group), torch.zeros(size).long()) for group in groups)
    assert (total - masks.left_over(arrived, size)).equal(sum(values[c] for c in arrived))


def test_masks_cancel_when_all_arrive() -> None:
    cohort = [2, 3, 5, 7, 11]
    masks = Masks(0, 0, cohort)
    assert sum(masks.of(client, 4) for client in cohort).tolist() == [0] * 4
    assert masks.left_over(cohort, 4).tolist() == [0] * 4


def test_the_sum_of_masked_numbers_is_that_of_the_numbers_but_for_rounding() -> None:
    cohort = list(range(10))
    plain = updates(cohort, 100)
    masks = Masks(0, 0, cohort)
    total = sum(encode(plain[c], 10) + masks.of(c, 100) for c in cohort)
    expected = sum(update.double() for update in plain.values())
    assert (decode(total) - expected).abs().max() <= 10 * 2.0**-33


def test_a_single_message_is_uniformly_distributed() -> None:
    """Of numbers that are all alike; without masks every byte would be the same."""
    message = encode(torch.full((20_000,), 0.25), 5) + Masks(1, 2, range(5)).of(3, 20_000)
    for place in range(8):
        counts = ((message >> (8 * place)) & 255).bincount(minlength=256)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_messages_of_two_clients_tell_nothing_together_unless_they_are_all() -> None:
    size = 20_000
    masks = Masks(1, 2, range(6), num_neighbours=2)
    pair = masks.of(0, size) + masks.of(1, size)
    counts = (pair & 255).bincount(minlength=256)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("other", [(1, 0, "update"), (0, 1, "update"), (0, 0, "control")])
def test_seed_round_and_part_decide_the_masks(other: tuple[int, int, str]) -> None:
    seed, round, part = other
    here, there = Masks(0, 0, range(3)).of(1, 50), Masks(seed, round, range(3)).of(1, 50, part)
    assert not (here == there).any()
    assert here.equal(Masks(0, 0, range(3)).of(1, 50))


@pytest.mark.parametrize(
    ("size", "degree", "client", "expected"),
    [(6, 2, 0, [10, 50]), (6, 4, 30, [10, 20, 40, 50]), (3, 4, 0, [10, 20]), (2, 2, 10, [0])],
)
def test_neighbours_are_next_to_a_client_in_the_ring(size, degree, client, expected) -> None:
    assert Masks(0, 0, range(0, 10 * size, 10), degree).neighbours(client) == expected


@given(COHORTS, st.sampled_from([2, 4, 6]))
def test_neighbours_are_mutual(cohort: list[int], degree: int) -> None:
    masks = Masks(0, 0, cohort, degree)
    for client in cohort:
        assert len(masks.neighbours(client)) == min(degree, len(cohort) - 1)
        assert all(client in masks.neighbours(other) for other in masks.neighbours(client))


@given(st.floats(-1e5, 1e5))
def test_numbers_come_back_rounded(value: float) -> None:
    values = torch.tensor([value], dtype=torch.float64)
    assert float((decode(encode(values, 1000)) - values).abs()) <= 2.0**-33


def test_the_largest_numbers_fit() -> None:
    clients = 8
    edge = torch.tensor([largest(clients)], dtype=torch.float64) * (1 - 2.0**-52)
    for sign in (1, -1):
        total = sum(encode(sign * edge, clients) for _ in range(clients))
        assert decode(total).item() == pytest.approx(sign * clients * edge.item(), rel=1e-12)


@pytest.mark.parametrize("value", [largest(8), -largest(8), float("inf"), float("nan")])
def test_numbers_that_do_not_fit_are_one_clear_error(value: float) -> None:
    with pytest.raises(RunError, match=r"8 clients can sum numbers below 2.68435e\+08"):
        encode(torch.tensor([0.0, value]), 8)
