"""Private responses: means and noise by hand, drawn once, with the right spread."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

from trainwright_objectives.aggregate_interpolating import AggregateInterpolating
from trainwright_strategies.label_dp_aggregates import LabelDpAggregates, laplace, private_means

IDS = torch.tensor([4, 9, 4, 9, 9, 1])
LABELS = torch.tensor([[0.5], [-7.0], [1.5], [2.0], [0.2], [3.0]])


def test_without_noise_it_is_the_mean_of_clipped_labels() -> None:
    found = private_means(LABELS, IDS, 2.0, math.inf, 0)
    nine = (-2.0 + 2.0 + 0.2) / 3
    expected = torch.tensor([[1.0], [nine], [1.0], [nine], [nine], [2.0]])
    torch.testing.assert_close(found, expected)


def test_noise_shrinks_with_the_bag_and_with_epsilon() -> None:
    bare = private_means(LABELS, IDS, 2.0, math.inf, 7)
    noise = private_means(LABELS, IDS, 2.0, 0.5, 7) - bare
    torch.testing.assert_close(private_means(LABELS, IDS, 2.0, 1.5, 7) - bare, noise / 3)
    alone = private_means(LABELS[:1], IDS[:1], 2.0, 0.5, 7) - bare.new_tensor([[0.5]])
    torch.testing.assert_close(alone, 2 * noise[:1], rtol=1e-5, atol=1e-6)


def test_noise_belongs_to_the_bag() -> None:
    first = private_means(LABELS, IDS, 2.0, 1.0, 7)
    order = torch.tensor([5, 3, 1, 0, 4, 2])
    torch.testing.assert_close(private_means(LABELS[order], IDS[order], 2.0, 1.0, 7), first[order])
    assert first[0] == first[2]
    assert first[1] == first[3] == first[4]
    assert not torch.equal(private_means(LABELS, IDS, 2.0, 1.0, 8), first)


def test_spread_of_the_noise() -> None:
    ids = torch.arange(40_000)
    noise = private_means(torch.zeros(40_000), ids, 1.5, 2.0, 3)
    scale = 2 * 1.5 / 2.0
    assert abs(noise.mean().item()) < 4 * scale * (2 / 40_000) ** 0.5
    assert noise.abs().mean().item() == pytest.approx(scale, rel=0.02)
    assert noise.abs().median().item() == pytest.approx(scale * math.log(2), rel=0.03)


def test_several_components_share_the_budget() -> None:
    ids = torch.arange(20_000)
    noise = private_means(torch.zeros(20_000, 3), ids, 1.0, 2.0, 3)
    assert noise.abs().mean().item() == pytest.approx(2 * 3 / 2.0, rel=0.03)


def test_laplace_inverts_its_distribution() -> None:
    u = torch.tensor([0.0, 0.1, 0.5, 0.9, 1 - 2**-24], dtype=torch.float64)
    found = laplace(u)
    assert found.isfinite().all()
    below = torch.where(found < 0, 0.5 * found.exp(), 1 - 0.5 * (-found).exp())
    torch.testing.assert_close(below, u, atol=1e-7, rtol=0)


def started(training, strategy: LabelDpAggregates, seed: int = 0) -> LabelDpAggregates:
    run = training(nn.Linear(2, 1), AggregateInterpolating(), strategy)
    run.context.seed = seed
    strategy.model(run.model, run.context)
    return strategy


def batch() -> dict[str, torch.Tensor]:
    return {"target": LABELS, "bag_id": IDS, "bag_target": torch.zeros(6, 1)}


def test_the_response_is_replaced_alike_in_every_epoch(training) -> None:
    strategy = LabelDpAggregates(0.5, 2.0)
    run = training(nn.Linear(2, 1), AggregateInterpolating(), strategy)
    first = strategy.batch(None, batch(), None)
    run.context.epoch, run.context.update = 3, 40
    again = strategy.batch(None, batch(), None)
    assert torch.equal(first["bag_target"], again["bag_target"])
    assert torch.equal(first["target"], LABELS)
    other = started(training, LabelDpAggregates(0.5, 2.0), seed=1).batch(None, batch(), None)
    assert not torch.equal(other["bag_target"], first["bag_target"])
    assert first["bag_target"].shape == (6, 1)


def test_clipping_alone_and_neutral(training) -> None:
    clipped = started(training, LabelDpAggregates(None, 2.0)).batch(None, batch(), None)
    torch.testing.assert_close(clipped["bag_target"], private_means(LABELS, IDS, 2.0, math.inf, 0))
    given = batch()
    neutral = LabelDpAggregates(**LabelDpAggregates.declares.neutral)
    assert started(training, neutral).batch(None, given, None) is given


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, "epsilon must be a number above 0"),
        ({"epsilon": math.inf}, "epsilon must be a number above 0"),
        ({"clip": 0.0}, "clip must be a number above 0"),
        ({"clip": -1.0}, "clip must be a number above 0"),
        ({"clip": None}, "give clip, or epsilon: null"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelDpAggregates(**options)


def test_an_objective_without_bags_is_refused(training) -> None:
    with pytest.raises(ValueError, match="use aggregate_interpolating"):
        training(nn.Linear(2, 1), nn.MSELoss(), LabelDpAggregates())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": torch.zeros(6, dtype=torch.int64)}, "must be values of the same form"),
        ({"target": torch.zeros(6, 2)}, "must be values of the same form as responses, (6, 1)"),
    ],
)
def test_ill_columns(training, changes: dict, message: str) -> None:
    strategy = started(training, LabelDpAggregates())
    with pytest.raises(ValueError, match=re.escape(message)):
        strategy.batch(None, {**batch(), **changes}, None)
    lacking = {name: value for name, value in batch().items() if name != "bag_target"}
    with pytest.raises(ValueError, match="no column 'bag_target'"):
        strategy.batch(None, lacking, None)
