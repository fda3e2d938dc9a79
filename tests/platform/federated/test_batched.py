"""Clients side by side come to where they come one after another, but for rounding."""

from __future__ import annotations

import pytest
import torch
from federations import members_of, parts_of, sent_of, trained

from trainwright.federated.clients.batched import Batched
from trainwright.federated.clients.sequential import Sequential
from trainwright.federated.parts import Parts

NOISE = [{"name": "gaussian_noise", "std": 0.3}]


def both(parts: Parts, tolerance: float = 2e-5, of_losses: float = 1e-4) -> None:
    """Train all clients both ways."""
    generator = torch.Generator().manual_seed(1)
    states = {
        name: 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in parts.first_client_state.items()
    }
    members = members_of(parts, **states)
    shared = {
        name: 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in parts.first_shared.items()
    }
    sent = sent_of(parts, 1, shared=shared)
    chunks = list(Sequential(parts.local())(members, sent))
    one_by_one = {chunk.members[0].id: chunk for chunk in chunks}
    (chunk,) = Batched(parts.local())(members, sent)
    assert sorted(member.id for member in chunk.members) == sorted(one_by_one)
    for place, member in enumerate(chunk.members):
        other = one_by_one[member.id]
        moved = other.weights[0] - sent.weights
        gap = chunk.weights[place].detach() - other.weights[0]
        assert moved.abs().max() > 1e-4
        assert gap.abs().max() <= tolerance * moved.abs().max(), member.id
        assert chunk.losses[place].item() == pytest.approx(other.losses.item(), rel=of_losses)
        assert chunk.steps[place] == other.steps[0]


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"data__batch_size": 5},
        {"data__batch_size": 1000},
        {"training": {"steps": 3}},
        {"training": {"epochs": 3, "max_grad_norm": 2.0}},
        {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}},
        {"data__transforms": NOISE},
        {"data__transforms": NOISE, "training": {"steps": 7}, "data__batch_size": 8},
        {"objective": {"name": "z_loss", "a": 1.0, "b": 1.0}},
        {"federation__aggregator": {"name": "feddyn", "alpha": 0.3}},
        {"federation__aggregator": "scaffold"},
        {"federation__aggregator": {"name": "moon", "mu": 1.0}, "training": {"epochs": 2}},
        {"federation__aggregator": "fedld"},
    ],
    ids=str,
)
def test_equals_one_after_another(sections) -> None:
    both(parts_of(**sections))


def test_adam_too() -> None:
    """It divides by roots of small numbers, which makes rounding larger."""
    both(parts_of(optimizer={"name": "adam", "lr": 0.01}, training={"epochs": 2}), 1e-2)


def test_half_precision_is_near() -> None:
    both(parts_of(training={"precision": "bf16"}), 0.1, 1e-2)


def test_what_is_not_finite_stays_with_its_client() -> None:
    """The first row of the table fills up nobody else's batches."""
    parts = parts_of(federation__partition={"name": "quantity_skew", "min_samples": 3})
    members, sent = members_of(parts), sent_of(parts)
    (owner,) = (member.id for member in members if 0 in member.rows)
    images = parts.table.tensors["image"].float().clone()
    images[0] = float("nan")
    parts.table.__init__(parts.table.columns, {**parts.table.tensors, "image": images})
    found = trained(Batched(parts.local()), members, sent)
    assert [
        client for client, weights in sorted(found.items()) if not weights.isfinite().all()
    ] == [owner]


def test_the_server_s_tensors_are_not_touched() -> None:
    parts = parts_of(federation__aggregator="scaffold")
    sent = sent_of(parts)
    before = sent.weights.clone(), {name: value.clone() for name, value in sent.shared.items()}
    trained(Batched(parts.local()), members_of(parts), sent)
    assert sent.weights.equal(before[0])
    assert all(sent.shared[name].equal(value) for name, value in before[1].items())
    assert parts.vectors.weights.equal(before[0])
