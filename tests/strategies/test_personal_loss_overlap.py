"""Overlaps of losses against all pairs, in all and within groups."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import nn

from trainwright.strategy import Context
from trainwright_strategies.auroc import auroc
from trainwright_strategies.personal_loss_overlap import (
    PersonalLossOverlap,
    mean_overlap,
)


def by_hand(losses: list[float], right: list[bool]) -> float:
    wrong = [loss for loss, kind in zip(losses, right, strict=True) if not kind]
    good = [loss for loss, kind in zip(losses, right, strict=True) if kind]
    pairs = [1.0 if a < b else 0.5 if a == b else 0.0 for a, b in product(wrong, good)]
    return sum(pairs) / len(pairs) if pairs else math.nan


def test_against_all_pairs() -> None:
    losses = torch.randint(6, (40,)).float()
    right = torch.rand(40) < 0.6
    assert auroc(losses, right) == pytest.approx(by_hand(losses.tolist(), right.tolist()))
    assert auroc(torch.tensor([1.0, 2.0]), torch.tensor([True, False])) == 0.0
    assert auroc(torch.tensor([1.0, 1.0]), torch.tensor([True, False])) == 0.5
    assert math.isnan(auroc(torch.ones(3), torch.ones(3, dtype=torch.bool)))


def test_within_groups() -> None:
    losses, right = torch.rand(60), torch.rand(60) < 0.5
    group = torch.randint(4, (60,)) * 7
    right[group == 7] = True
    each = []
    for name in (0, 14, 21):
        own = group == name
        each.append(by_hand(losses[own].tolist(), right[own].tolist()))
    assert mean_overlap(losses, right, group) == pytest.approx(sum(each) / 3)
    assert math.isnan(mean_overlap(losses, torch.ones(60, dtype=torch.bool), group))


def test_levels_of_users_overlap_in_all_but_not_within() -> None:
    user = torch.arange(50).repeat_interleave(10)
    right = torch.arange(500) % 10 < 7
    losses = 5.0 * torch.rand(50)[user] + 0.5 * ~right
    assert mean_overlap(losses, right, user) == 0.0
    assert auroc(losses, right) > 0.3


class _Evaluation:
    """Of the training samples, in two batches."""

    def __init__(self, model, columns) -> None:
        self.context = Context(seed=0)
        self.model, self.columns = model, columns

    def batches(self, split: str):
        assert split == "train"
        for part in (slice(0, 5), slice(5, None)):
            batch = {name: column[part] for name, column in self.columns.items()}
            yield batch, {"logits": self.model(batch["x"])}


def test_it_measures_the_training_samples_and_leaves_the_loss(training) -> None:
    columns = {
        "x": torch.randn(12, 3),
        "target": torch.randint(2, (12,)),
        "user": (torch.arange(12) % 3)[:, None],
        "relevant": (torch.rand(12, 1) < 0.5).float(),
    }
    probe = PersonalLossOverlap()
    run = training(nn.Linear(3, 2), nn.CrossEntropyLoss(), probe)
    losses = nn.functional.cross_entropy(
        run.model(columns["x"]), columns["target"], reduction="none"
    ).detach()
    right, user = columns["relevant"][:, 0] > 0.5, columns["user"][:, 0]
    with torch.no_grad():
        found = probe.evaluate(_Evaluation(run.model, columns))
    assert found == {
        "overlap_global": pytest.approx(auroc(losses, right)),
        "overlap_personal": pytest.approx(mean_overlap(losses, right, user), nan_ok=True),
    }
    loss = run.compute(columns)
    torch.testing.assert_close(loss.value, losses.mean())
    assert loss.logged["right_share"] == right.float().mean()
    with pytest.raises(ValueError, match="the data has no column 'relevant'; it has x, target"):
        run.compute({"x": columns["x"], "target": columns["target"]})
