"""Pruning by magnitude: the rule by hand, the paper's counts, ties, layers together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwright_strategies.layers.magnitude import prune, prune_together

SIZES, RATES = (235200, 30000, 1000), (0.2, 0.2, 0.1)


def test_the_smallest_share_of_the_weights_goes() -> None:
    weight, mask = -torch.arange(1.0, 11.0), torch.ones(10, dtype=torch.bool)
    assert prune(weight, mask, 0.2).nonzero().flatten().tolist() == list(range(2, 10))
    official = prune(weight, mask, 0.2, compat_official=True)
    assert official.nonzero().flatten().tolist() == list(range(3, 10))


@pytest.mark.parametrize(
    ("rounds", "left", "share"),
    [(7, (49325, 6291, 478), 0.210721), (12, (16162, 2062, 282), 0.069519)],
)
def test_survivors_of_the_papers_network(rounds: int, left: tuple[int, ...], share: float) -> None:
    found = []
    for size, rate in zip(SIZES, RATES, strict=True):
        # All of one size, so that the first go: the rule without its sorting.
        mask = torch.ones(size, dtype=torch.bool)
        for _ in range(rounds):
            mask = prune(torch.ones(size), mask, rate)
        assert bool(mask[int(size - mask.sum()) :].all())
        found.append(int(mask.sum()))
    assert tuple(found) == left
    assert sum(found) / sum(SIZES) == pytest.approx(share, abs=1e-6)


def _slowly_pruned(weight: np.ndarray, mask: np.ndarray, rate: float) -> np.ndarray:
    """One after another, the first of the smallest of what is left."""
    mask = mask.copy()
    for _ in range(round(rate * int(mask.sum()))):
        places = [place for place in range(len(mask)) if mask[place]]
        mask[min(places, key=lambda place: abs(weight[place]))] = False
    return mask


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_rounds_follow_the_rule_written_out_and_nest(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    mask, slow = torch.ones(12, 7, dtype=torch.bool), np.ones(84, dtype=bool)
    for _ in range(9):
        weight = torch.randn(12, 7, generator=generator).to(dtype) * mask
        before, mask = mask, prune(weight, mask, 0.3)
        slow = _slowly_pruned(weight.double().flatten().numpy(), slow, 0.3)
        assert mask.flatten().tolist() == slow.tolist()
        assert not bool((mask & ~before).any())
        assert int(mask.sum()) == int(before.sum()) - round(0.3 * int(before.sum()))


def test_the_official_rule_takes_ties_and_never_runs_out_of_range() -> None:
    tied, mask = torch.tensor([1.0, 2.0, -2.0, 2.0, 3.0]), torch.ones(5, dtype=torch.bool)
    assert prune(tied, mask, 0.2, compat_official=True).tolist() == [False] * 4 + [True]
    assert not bool(prune(tied, mask, 0.95, compat_official=True).any())
    none = torch.zeros(5, dtype=torch.bool)
    assert not bool(prune(tied, none, 0.5, compat_official=True).any())


def test_layers_together_are_one_ranking() -> None:
    weights = {"a": torch.tensor([[1.0, 8.0], [3.0, 4.0]]), "b": torch.tensor([2.0, 5.0, 6.0, 7.0])}
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    found = prune_together(weights, masks, 0.5)
    assert found["a"].tolist() == [[False, True], [False, False]]
    assert found["b"].tolist() == [False, True, True, True]
