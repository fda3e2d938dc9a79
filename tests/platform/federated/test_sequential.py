"""Clients one after another, against an obvious loop of plain PyTorch with a tensor each."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from federations import members_of, parts_of, sent_of, trained
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from trainwright.federated.clients.sequential import Sequential
from trainwright.federated.clients.trainer import Member, batch_sizes, num_steps
from trainwright.federated.parts import Parts
from trainwright.federated.spec import LocalTraining

SGD = {"name": "sgd", "lr": 0.2}


def plainly(parts: Parts, member: Member, round: int, optimizer: Any, **options: Any) -> Tensor:
    """Where a client comes to, with the model's own tensors and torch's own loop."""
    model = copy.deepcopy(parts.assembly.module.model.model)
    for parameter in model.parameters():
        parameter.data, parameter.grad = parameter.data.clone(), None
    model.train()
    updates = optimizer(model.parameters(), **options)
    training, done = parts.spec.training, 0
    trainer = Sequential(parts.local())
    for number in range(training.epochs or training.steps):
        (rows,) = trainer.orders([member], round, number)
        for batch in rows.split(parts.spec.data.batch_size):
            if done == training.steps:
                break
            done += 1
            updates.zero_grad()
            samples = parts.table.take(batch)
            logits = model(samples["image"])["logits"]
            nn.functional.cross_entropy(logits, samples["target"]).backward()
            if training.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), training.max_grad_norm)
            updates.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


CASES: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
    (SGD, {"epochs": 1}, torch.optim.SGD),
    (SGD, {"steps": 1}, torch.optim.SGD),
    (SGD, {"steps": 9}, torch.optim.SGD),
    (SGD, {"epochs": 3, "max_grad_norm": 0.3}, torch.optim.SGD),
    ({**SGD, "momentum": 0.9, "weight_decay": 0.1}, {"epochs": 2}, torch.optim.SGD),
    ({"name": "adam", "lr": 0.01, "weight_decay": 0.1}, {"epochs": 2}, torch.optim.Adam),
    ({"name": "adamw", "lr": 0.01}, {"steps": 5, "max_grad_norm": 0.1}, torch.optim.AdamW),
]


@pytest.mark.parametrize(("optimizer", "training", "factory"), CASES)
def test_equals_a_plain_loop(optimizer, training, factory) -> None:
    parts = parts_of(optimizer=optimizer, training=training)
    members, sent = members_of(parts), sent_of(parts, 1)
    assert len({len(member.rows) % 16 for member in members}) > 3, "last batches are partial"
    options = {name: value for name, value in optimizer.items() if name != "name"}
    expected = {m.id: plainly(parts, m, 1, factory, **options) for m in members}
    found = trained(Sequential(parts.local()), members, sent)
    assert found.keys() == expected.keys()
    for client, weights in found.items():
        torch.testing.assert_close(weights, expected[client], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(weights, sent.weights, atol=1e-3)


def test_nothing_is_left_of_the_clients_before() -> None:
    """Momentum, gradients, weights, buffers: a client comes to the same, whoever came before."""
    parts = parts_of(optimizer={**SGD, "momentum": 0.9}, model__batch_norm=True, model__dropout=0.3)
    members, sent, trainer = members_of(parts), sent_of(parts), Sequential(parts.local())
    together = list(trainer(members, sent))
    alone = [chunk for member in reversed(members) for chunk in trainer([member], sent)]
    for one, other in zip(together, reversed(alone), strict=True):
        assert one.weights.equal(other.weights)
        assert one.buffers.equal(other.buffers)
        assert one.losses.equal(other.losses)
        assert one.counters.keys() == other.counters.keys()
        assert all(one.counters[name] == other.counters[name] for name in one.counters)
        assert next(iter(one.counters.values())) == one.steps[0]


def test_a_single_sample_is_left_to_no_batch_normalisation() -> None:
    assert batch_sizes(33, 16, 1) == [16, 16, 1]
    assert batch_sizes(33, 16, 2) == [16, 17]
    assert batch_sizes(34, 16, 2) == [16, 16, 2]
    assert batch_sizes(32, 16, 2) == [16, 16]
    assert batch_sizes(1, 16, 2) == [1]


@given(st.integers(1, 100), st.integers(1, 20), st.integers(1, 5), st.integers(1, 3))
def test_updates_are_counted_without_a_list_of_them(samples, batch_size, fewest, epochs) -> None:
    training = LocalTraining(epochs=epochs)
    expected = epochs * len(batch_sizes(samples, batch_size, fewest))
    assert num_steps(training, samples, batch_size, fewest) == expected


def test_losses_are_means_over_updates() -> None:
    parts = parts_of(optimizer={"name": "sgd", "lr": 0.0}, data__batch_size=1000)
    chunk, *_ = Sequential(parts.local())(members_of(parts), sent_of(parts))
    batch = parts.table.take(parts.rows.training(0))
    logits = parts.assembly.module.model(batch)["logits"]
    expected = nn.functional.cross_entropy(logits, batch["target"])
    assert chunk.losses.item() == pytest.approx(expected.item(), rel=1e-6)
    assert chunk.steps == [1]


def test_an_epoch_of_its_own_order_in_each_round() -> None:
    parts = parts_of(training={"epochs": 3})
    trainer, member = Sequential(parts.local()), members_of(parts)[0]
    places = ((2, 0), (2, 1), (2, 2), (1, 0))
    orders = [trainer.orders([member], round, number)[0] for round, number in places]
    assert len({tuple(rows.tolist()) for rows in orders}) == 4
    assert trainer.orders([member], 2, 0)[0].equal(orders[0])


def test_half_precision() -> None:
    parts = parts_of(training={"precision": "bf16", "epochs": 3})
    whole = parts_of(training={"epochs": 3})
    found = trained(Sequential(parts.local()), members_of(parts), sent_of(parts))
    exact = trained(Sequential(whole.local()), members_of(whole), sent_of(whole))
    start = sent_of(parts_of()).weights
    for client, weights in found.items():
        assert weights.dtype == torch.float32
        gap = (weights - exact[client]).norm() / (exact[client] - start).norm()
        assert 1e-5 < gap < 0.1
