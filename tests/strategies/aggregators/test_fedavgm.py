"""Server momentum against torch's SGD and sums of geometric series."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainwright.testing import Miniature, Quadratics
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.fedavgm import FedAvgM

TASK = Quadratics(torch.tensor([[1.0, 0.0, 2.0], [0.0, 4.0, 1.0], [-2.0, 2.0, 0.0]]))


def served(aggregator: FedAvgM, updates: Tensor) -> Tensor:
    """The weights after each round in which all clients moved by the next of ``updates``."""
    played, found = Miniature(aggregator, TASK), []
    for update in updates:
        played.receive(dict.fromkeys(range(3), update))
        found.append(played.weights)
    return torch.stack(found)


def test_a_steady_update_is_taken_as_often_as_the_series_says() -> None:
    update = torch.tensor([1.0, -2.0, 0.5])
    found = served(FedAvgM(momentum=0.5), update.repeat(3, 1))
    assert found.tolist() == [(m * update).tolist() for m in (1.0, 2.5, 4.25)]
    ahead = served(FedAvgM(momentum=0.5, nesterov=True), update.repeat(2, 1))
    assert ahead.tolist() == [(m * update).tolist() for m in (1.5, 3.25)]


@pytest.mark.parametrize("nesterov", [False, True])
def test_it_is_torch_s_sgd_on_the_negative_update(nesterov: bool) -> None:
    updates = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(3, dtype=torch.float64)
    optimizer = torch.optim.SGD([weights], lr=0.7, momentum=0.9, nesterov=nesterov)
    expected = []
    for update in updates:
        weights.grad = -update.double()
        optimizer.step()
        expected.append(weights.clone())
    found = served(FedAvgM(0.9, 0.7, nesterov), updates).double()
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_without_momentum_it_is_federated_averaging_bit_for_bit(nesterov: bool) -> None:
    averaged = Miniature(FedAvg("uniform", 0.5), TASK).run(4).weights
    found = Miniature(FedAvgM(0.0, 0.5, nesterov, "uniform"), TASK).run(4).weights
    assert torch.equal(found, averaged)


def test_it_reaches_the_optimum_of_flat_directions_sooner() -> None:
    task = Quadratics(torch.ones(2, 2), torch.tensor([[1.0, 0.02]]).repeat(2, 1))
    far = [
        float((Miniature(aggregator, task).run(100).weights - 1).abs().max())
        for aggregator in (FedAvg(), FedAvgM(0.9))
    ]
    assert far[1] < 0.2 * far[0]


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_momenta_that_make_no_sense_are_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match="momentum must be at least 0 and below 1"):
        FedAvgM(momentum)
