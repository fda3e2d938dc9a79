"""MOON: the contrastive loss by hand, the models that it compares, and its limit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainwright.federated import Client, Federation, Layout
from trainwright.strategy import Batch, Loss, Outputs
from trainwright.testing import Classes, Miniature
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.moon import Moon, model_contrast

FEATURES, WIDTH, CLASSES = 4, 3, 2
SIZE = FEATURES * WIDTH + WIDTH * CLASSES


def model(weights: Tensor, batch: Batch) -> Outputs:
    hidden = weights[: FEATURES * WIDTH].view(FEATURES, WIDTH)
    head = weights[FEATURES * WIDTH :].view(WIDTH, CLASSES)
    embedding = torch.tanh(batch["x"] @ hidden)
    return {"embedding": embedding, "logits": embedding @ head}


class Compute:
    """The loss of the model at some weights."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def forward(self, batch: Batch) -> Outputs:
        return model(self.weights, batch)

    @torch.no_grad()
    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        return model(weights, batch)

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        logits = (self.forward(batch) if outputs is None else outputs)["logits"]
        losses = cross_entropy(logits, batch["label"], reduction="none")
        return Loss((losses * batch.get("sample_weight", torch.ones(()))).mean())


def samples(seed: int, count: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, FEATURES, generator=generator)
    return {"x": x, "label": (x[:, 0] > 0).long()}


def vector(seed: int) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))


def client(weights: Tensor, state: dict[str, Tensor]) -> Client:
    layout = Layout.of([("model.w", weights)])
    return Client(0, 1, 6, 2, 0.1, weights, {}, state, layout)


def kept(previous: Tensor) -> dict[str, Tensor]:
    return {"previous": previous, "known": torch.ones(())}


def by_hand(
    aggregator: Moon, batch: Batch, present: Tensor, received: Tensor, last: Tensor
) -> list[float]:
    """The contrast sample by sample, as the paper prints it."""
    losses = []
    for x in batch["x"]:
        z, z_received, z_last = (
            model(weights, {"x": x[None]})["embedding"][0] for weights in (present, received, last)
        )
        near, far = (
            math.exp(float(z @ other / z.norm() / other.norm()) / aggregator.temperature)
            for other in (z_received, z_last)
        )
        losses.append(-math.log(near / (near + far)))
    return losses


def test_contrast_by_hand() -> None:
    present = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    received = torch.tensor([[1.0, 0.0], [0.6, -0.8]])
    previous = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    near = math.log(1 + math.exp((0.6 - 1.0) / 0.5))
    far = math.log(1 + math.exp((1.0 + 0.8) / 0.5))
    found = model_contrast(present, received, previous, 0.5)
    assert found.tolist() == pytest.approx([near, far])
    assert model_contrast(present, received, previous, 1e-3).tolist() == pytest.approx([0.0, 1800])


def test_loss_compares_the_three_models() -> None:
    aggregator, batch = Moon(mu=2.0, temperature=0.4), samples(0)
    present, received, last = vector(1), vector(2), vector(3)
    compute = Compute(present.requires_grad_())
    loss = aggregator.loss(batch, compute, client(received, kept(last)))
    contrast = by_hand(aggregator, batch, present.detach(), received, last)
    plain = compute(batch).value.detach()
    assert loss.value.item() == pytest.approx(float(plain) + 2 * sum(contrast) / 6, rel=1e-6)
    assert float(loss.logged["model_contrast"]) == pytest.approx(2 * sum(contrast) / 6, rel=1e-5)


def test_gradient_flows_through_the_present_model_alone() -> None:
    aggregator, batch = Moon(mu=3.0), samples(0)
    present = vector(1).requires_grad_()
    received, last = vector(2).requires_grad_(), vector(3).requires_grad_()
    compute = Compute(present)
    aggregator.loss(batch, compute, client(received, kept(last))).value.backward()
    assert received.grad is None
    assert last.grad is None
    step = 1e-3 * vector(4)

    def value(weights: Tensor) -> float:
        found = Compute(weights)
        return float(aggregator.loss(batch, found, client(received, kept(last))).value)

    assert present.grad is not None
    slope = (value(present.detach() + step) - value(present.detach() - step)) / 2
    assert slope == pytest.approx(float(present.grad @ step), rel=1e-2)


def test_sample_weights_count_in_the_contrast() -> None:
    aggregator, batch = Moon(mu=1.0), samples(0)
    received, last = vector(2), vector(3)
    compute = Compute(vector(1))
    weights = torch.tensor([1.5, 1.5, 1.5, 1.5, 0.0, 0.0])
    filled = {**batch, "sample_weight": weights}
    short = {name: column[:4] for name, column in batch.items()}
    found, expected = (
        aggregator.loss(b, compute, client(received, kept(last))).value for b in (filled, short)
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_first_round_has_no_contrast() -> None:
    contrasting, averaged = (Miniature(a, Classes()) for a in (Moon(mu=5.0), FedAvg()))
    assert torch.allclose(contrasting.run(1).weights, averaged.run(1).weights, atol=1e-6)
    assert not torch.allclose(contrasting.run(1).weights, averaged.run(1).weights, atol=1e-3)


def test_clients_keep_their_last_weights() -> None:
    task = Classes()
    found = Miniature(Moon(), task, cohort_of=lambda number: [number]).run(2)
    for number in range(2):
        assert float(found.kept[number]["known"]) == 1
    # A cohort of one: the server has the client's weights after the round.
    assert torch.allclose(found.kept[1]["previous"], found.weights)
    assert not torch.allclose(found.kept[0]["previous"], found.weights, atol=1e-3)


def test_without_weight_it_is_averaging_bit_for_bit() -> None:
    ours, averaged = (Miniature(a, Classes()).run(4) for a in (Moon(mu=0), FedAvg()))
    assert torch.equal(ours.weights, averaged.weights)
    assert not any(ours.kept.values())


def test_clients_side_by_side() -> None:
    """As the platform runs it under torch.func: the same losses, one of them in a first round."""
    aggregator, received = Moon(), vector(9)
    batches = {name: torch.stack([samples(n)[name] for n in range(3)]) for name in ("x", "label")}
    present = torch.stack([vector(n) for n in range(3)])
    states = {
        "previous": torch.stack([vector(5), torch.zeros(SIZE), vector(7)]),
        "known": torch.tensor([1.0, 0.0, 1.0]),
    }

    def loss(weights: Tensor, batch: Batch, state: dict[str, Tensor]) -> Tensor:
        compute = Compute(weights)
        return aggregator.loss(batch, compute, client(received, state)).value

    together = torch.vmap(loss)(present, batches, states)
    alone = [
        loss(present[n], samples(n), {name: value[n] for name, value in states.items()})
        for n in range(3)
    ]
    assert torch.allclose(together, torch.stack(alone))


def test_an_output_that_is_not_there() -> None:
    known = Federation(2, 2, 1, Layout(()), "sgd", {}, ("logits", "embedding"))
    Moon().check(known)
    Moon().check(Federation(2, 2, 1, Layout(()), "sgd", {}))
    with pytest.raises(ValueError, match="no output 'embeding'; it has logits, embedding; nearest"):
        Moon(output="embeding").check(known)
    compute = Compute(vector(1))
    with pytest.raises(ValueError, match="no output 'z'"):
        Moon(output="z").loss(samples(0), compute, client(vector(2), kept(vector(3))))


def test_an_output_for_each_token() -> None:
    compute, batch = Compute(vector(1)), samples(0)
    tokens = {**batch, "x": batch["x"][:, None]}
    with pytest.raises(ValueError, match=r"one vector per sample.*has the shape \[6, 1"):
        Moon().loss(tokens, compute, client(vector(2), kept(vector(3))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mu": -1.0}, "mu must be a number of at least 0"),
        ({"mu": float("nan")}, "mu must be a number of at least 0"),
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"temperature": float("inf")}, "temperature must be a number above 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Moon(**options)
