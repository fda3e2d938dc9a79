"""Federated averaging against hand calculation and the fixed points of quadratics."""

from __future__ import annotations

import pytest
import torch

from trainwright.federated import Aggregator
from trainwright.testing import Miniature, Quadratics, federation_of, reduced_of
from trainwright_strategies.aggregators.fedavg import FedAvg

CENTRES = torch.tensor([[1.0, 0.0], [0.0, 4.0], [-2.0, 2.0]])


def moved(aggregator: FedAvg, updates: list[list[float]], samples: list[int]) -> torch.Tensor:
    federation = federation_of(Quadratics(torch.zeros(len(samples), 2)), len(samples))
    messages = [{"update": torch.tensor(update)} for update in updates]
    reduced = reduced_of(aggregator, messages, samples, federation)
    weights, state = aggregator.server(torch.tensor([1.0, 2.0]), reduced, {})
    assert not state
    return weights


def test_worked_example() -> None:
    updates, samples = [[1.0, 0.0], [0.0, 2.0]], [3, 1]
    assert moved(FedAvg(), updates, samples).tolist() == [1.75, 2.5]
    assert moved(FedAvg("uniform"), updates, samples).tolist() == [1.5, 3.0]
    assert moved(FedAvg(server_lr=2.0), updates, samples).tolist() == [2.5, 3.0]


def test_by_default_it_is_the_protocol_s_own_average_bit_for_bit() -> None:
    task = Quadratics(CENTRES, num_samples=[1, 5, 3], num_steps=[1, 3, 2])
    plain = Miniature(Aggregator(), task).run(4)
    assert torch.equal(Miniature(FedAvg(), task).run(4).weights, plain.weights)


def test_one_client_and_one_step_is_gradient_descent() -> None:
    task = Quadratics(CENTRES[:1], torch.tensor([[0.5, 2.0]]))
    weights = torch.zeros(2)
    for _ in range(6):
        weights = weights - 0.1 * torch.tensor([0.5, 2.0]) * (weights - CENTRES[0])
    torch.testing.assert_close(Miniature(FedAvg(), task).run(6).weights, weights)


@pytest.mark.parametrize("weighting", ["samples", "uniform"])
def test_with_one_step_it_finds_the_optimum_of_the_weighted_mean(weighting: str) -> None:
    curvatures = torch.tensor([[1.0, 0.5], [2.0, 1.0], [0.5, 3.0]])
    task = Quadratics(CENTRES, curvatures, num_samples=[1, 5, 3])
    found = Miniature(FedAvg(weighting), task).run(150).weights  # type: ignore[arg-type]
    optimum = task.optimum() if weighting == "samples" else task.optimum([1, 1, 1])
    torch.testing.assert_close(found.double(), optimum, atol=1e-5, rtol=0)
    other = task.optimum([1, 1, 1]) if weighting == "samples" else task.optimum()
    assert (found - other).abs().max() > 0.1


def test_with_several_steps_it_ends_where_the_clients_pulls_cancel() -> None:
    """After E steps client k has gone the share 1 - (1 - lr a_k)^E of its way: not the optimum."""
    curvatures, steps = torch.tensor([[1.0], [2.0], [0.5]]), [1, 4, 2]
    task = Quadratics(CENTRES, curvatures, num_steps=steps)
    gone = 1 - (1 - 0.1 * curvatures.double()) ** torch.tensor(steps)[:, None]
    expected = (gone * CENTRES).sum(0) / gone.sum(0)
    found = Miniature(FedAvg(), task).run(150).weights
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    assert (expected - task.optimum()).abs().max() > 0.1


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_make_no_sense_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="server_lr must be a number above 0"):
        FedAvg(server_lr=rate)


def test_an_unknown_weighting_is_refused() -> None:
    with pytest.raises(ValueError, match="weighting must be samples or uniform, got 'size'"):
        FedAvg("size")  # type: ignore[arg-type]
