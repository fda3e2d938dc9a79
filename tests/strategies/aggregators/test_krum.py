"""Krum and multi-Krum against a slow implementation and attacks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainwright.testing import Miniature, Quadratics, federation_of
from trainwright_strategies.aggregators.krum import Krum, squared_distances

RANDOM = torch.Generator().manual_seed(0)


def served(aggregator: Krum, updates: Tensor) -> Tensor:
    """The weights from 1 after a round with these updates, of which fewer than 20 may arrive."""
    played = Miniature(aggregator, Quadratics(torch.zeros(20, updates.shape[1])))
    played.weights = torch.ones(updates.shape[1])
    played.receive(dict(enumerate(updates)))
    return played.weights


def slow(updates: Tensor, byzantine: int, selected: int) -> Tensor:
    rows = updates.double().tolist()
    scores = []
    for i, mine in enumerate(rows):
        away = sorted(
            sum((a - b) ** 2 for a, b in zip(mine, other, strict=True))
            for j, other in enumerate(rows)
            if j != i
        )
        scores.append((sum(away[: len(rows) - byzantine - 2]), i))
    chosen = [rows[i] for _, i in sorted(scores)[:selected]]
    return torch.tensor(chosen, dtype=torch.float64).mean(dim=0)


def test_worked_example() -> None:
    """Of 0, 1, 2, 3 and 100 the two in the middle have the smallest sums over two neighbours."""
    updates = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])
    assert served(Krum(1), updates).tolist() == [2.0], "equal scores: the lower number"
    assert served(Krum(1, selected=2), updates).tolist() == [2.5]
    assert served(Krum(1), updates.flip(0)).tolist() == [3.0], "now 2 comes before 1"


@pytest.mark.parametrize(("byzantine", "selected"), [(0, 1), (0, 9), (2, 1), (2, 5), (4, 3)])
def test_it_is_the_slow_implementation(byzantine: int, selected: int) -> None:
    for _ in range(5):
        updates = torch.randn(11, 4, generator=RANDOM)
        expected = 1 + slow(updates, byzantine, selected)
        found = served(Krum(byzantine, selected), updates)
        torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)


def test_distances_are_exact_beside_a_huge_row_and_over_several_blocks() -> None:
    updates = torch.randn(4, 70_000, generator=RANDOM)
    wild = torch.cat([updates, 1e30 * updates[:1]])
    expected = torch.cdist(
        updates.double(), updates.double(), compute_mode="donot_use_mm_for_euclid_dist"
    ).square()
    for found in (squared_distances(updates), squared_distances(wild)[:4, :4]):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-6)
    assert squared_distances(wild).isfinite().all()


@pytest.mark.parametrize("selected", [1, 5])
@pytest.mark.parametrize("attack", [1e30, -50.0, 3.0])
def test_clients_at_fault_are_not_selected(selected: int, attack: float) -> None:
    """Neither when they send huge numbers nor when they all agree on a false direction."""
    good = 0.1 * torch.randn(8, 30, generator=RANDOM) + 1
    updates = torch.cat([torch.full((3, 30), attack), good])
    moved = served(Krum(3, selected), updates) - 1
    assert (moved - 1).abs().max() < 0.5


def test_a_round_with_too_few_answers_changes_nothing() -> None:
    updates = torch.randn(9, 3, generator=RANDOM)
    assert torch.equal(served(Krum(3), updates[:8]), torch.ones(3))
    assert not torch.equal(served(Krum(3), updates), torch.ones(3))


def test_with_fewer_answers_no_more_are_selected_than_can_be_trusted() -> None:
    updates = torch.randn(9, 3, generator=RANDOM)
    many, most = served(Krum(3, selected=12), updates), served(Krum(3, selected=4), updates)
    assert torch.equal(many, most)


def test_cohorts_that_are_too_small_are_refused() -> None:
    task = Quadratics(torch.zeros(20, 2))
    with pytest.raises(ValueError, match=r"at least 2 \* 3 \+ 3 = 9 clients, got 8"):
        Krum(3).check(federation_of(task, 8))
    Krum(3).check(federation_of(task, 9))
    with pytest.raises(ValueError, match=r"of 9 clients with 3 at fault at most 4 .* got 5"):
        Krum(3, selected=5).check(federation_of(task, 9))
    Krum(3, selected=4).check(federation_of(task, 9))


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="num_byzantine must be a whole number of at least 0"):
        Krum(-1)
    with pytest.raises(ValueError, match="selected must be a whole number of at least 1"):
        Krum(1, selected=0)
