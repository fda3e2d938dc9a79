"""The proximal term against its closed form on quadratics."""

from __future__ import annotations

import pytest
import torch

from trainwright.testing import Miniature, Quadratics, federation_of
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.fedprox import FedProx

CENTRES = torch.tensor([[1.0, -3.0], [0.0, 4.0], [-2.0, 2.0]])
CURVATURES = torch.tensor([[1.0], [2.0], [0.5]])


def test_each_gradient_has_the_way_gone_added() -> None:
    played = Miniature(FedProx(mu=2.0), Quadratics(CENTRES))
    client = played.client(1)
    gradient, weights = torch.tensor([1.0, -1.0]), torch.tensor([0.5, 3.0])
    found = played.aggregator.gradients(gradient, weights, client)
    assert found.tolist() == [2.0, 5.0], "the server's weights are 0"


@pytest.mark.parametrize("mu", [0.0, 0.3, 5.0])
def test_clients_stop_short_of_their_optimum_as_the_closed_form_says(mu: float) -> None:
    """Client k goes a / (a + mu) of its way, and of that the share 1 - (1 - lr (a + mu))^E."""
    steps = [1, 4, 40]
    played = Miniature(FedProx(mu), Quadratics(CENTRES, CURVATURES, num_steps=steps)).run(1)
    for id, message in played.messages.items():
        total = CURVATURES[id].double() + mu
        share = CURVATURES[id] / total * (1 - (1 - 0.1 * total) ** steps[id])
        expected = share * CENTRES[id].double()
        torch.testing.assert_close(message["update"].double(), expected, rtol=1e-5, atol=1e-6)


def test_many_steps_lead_nearer_to_the_optimum_the_stronger_the_term() -> None:
    """With plain averaging clients of many steps pull the fixed point towards themselves."""
    task = Quadratics(CENTRES, CURVATURES, num_steps=[15] * 3)
    federation = federation_of(task, 3, options={"lr": 0.2})
    distances = [
        float((Miniature(FedProx(mu), task, federation).run(30).weights - task.optimum()).norm())
        for mu in (0.0, 1.0, 3.0)
    ]
    assert distances[0] > 1.5 * distances[1] > 1.5**2 * distances[2]


def test_without_strength_it_is_federated_averaging_bit_for_bit() -> None:
    task = Quadratics(CENTRES, CURVATURES, [3, 1, 2], [1, 4, 2])
    for weighting in ("samples", "uniform"):
        averaged = Miniature(FedAvg(weighting, 0.5), task).run(3)  # type: ignore[arg-type]
        found = Miniature(FedProx(0.0, weighting, 0.5), task).run(3)  # type: ignore[arg-type]
        assert torch.equal(found.weights, averaged.weights)


def test_a_term_at_which_sgd_diverges_is_refused() -> None:
    task = Quadratics(CENTRES)
    with pytest.raises(ValueError, match=r"drives clients away .* mu below 10$"):
        FedProx(mu=20.0).check(federation_of(task, 3))
    FedProx(mu=20.0).check(federation_of(task, 3, options={"lr": 0.1, "momentum": 0.5}))
    FedProx(mu=19.9).check(federation_of(task, 3))
    FedProx(mu=20.0).check(federation_of(task, 3, options={"lr": None}))


@pytest.mark.parametrize("mu", [-0.1, float("nan"), float("inf")])
def test_strengths_that_make_no_sense_are_refused(mu: float) -> None:
    with pytest.raises(ValueError, match="mu must be a number of at least 0"):
        FedProx(mu)


def test_options_of_averaging_are_checked_as_there() -> None:
    with pytest.raises(ValueError, match="server_lr must be a number above 0"):
        FedProx(server_lr=0.0)
