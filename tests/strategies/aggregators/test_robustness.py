"""A whole training with clients at fault: robust aggregators find the optimum of the others."""

from __future__ import annotations

import pytest
import torch

from trainwright.federated import Aggregator
from trainwright.testing import Miniature, Quadratics
from trainwright_strategies.aggregators.coordinate_median import CoordinateMedian
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.krum import Krum
from trainwright_strategies.aggregators.trimmed_mean import TrimmedMean

GOOD = 1 + 0.05 * torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
TASK = Quadratics(torch.cat([torch.full((2, 5), 1e6), GOOD]), num_steps=[3] * 10)


def distance(aggregator: Aggregator) -> float:
    return float((Miniature(aggregator, TASK).run(30).weights - GOOD.mean(dim=0)).abs().max())


@pytest.mark.parametrize(
    "aggregator",
    [CoordinateMedian(), TrimmedMean(0.2), Krum(2), Krum(2, selected=6)],
    ids=["median", "trimmed", "krum", "multi-krum"],
)
def test_two_of_ten_clients_pull_towards_a_million_in_vain(aggregator: Aggregator) -> None:
    assert distance(aggregator) < 0.2


def test_averaging_follows_them() -> None:
    assert distance(FedAvg()) > 1e5
