"""Tensors that stay with their clients, as FedBN's."""

from __future__ import annotations

import torch
from federations import parts_of, sent_of

from trainwright.federated.clients.sequential import Sequential
from trainwright.federated.clients.staying import Staying
from trainwright.federated.processes.site import Site
from trainwright.federated.transport.work import Bin

NORM = {"name": "mlp", "hidden": [8], "batch_norm": True}
NAMES = {
    "model.body.1.weight",
    "model.body.1.bias",
    "model.body.1.running_mean",
    "model.body.1.running_var",
}


def test_a_client_goes_on_with_its_own_and_the_rest_is_the_server_s() -> None:
    parts = parts_of(model=NORM)
    staying, vectors = Staying(parts.vectors, NAMES), parts.vectors
    weights, buffers = vectors.weights.clone(), vectors.buffers.clone()
    mine = torch.arange(len(weights)).float(), torch.arange(len(buffers)).float()
    assert staying.start(weights, buffers, {}) == (weights, buffers)
    kept = staying.kept(*mine)
    assert sum(part.numel() for part in kept.values()) == 4 * 8
    started = staying.start(weights, buffers, kept)
    for layout, found, own, sent in (
        (vectors.layout, started[0], mine[0], weights),
        (vectors.buffer_layout, started[1], mine[1], buffers),
    ):
        for span in layout:
            assert span.of(found).equal(span.of(own if span.name in NAMES else sent)), span.name
    assert weights.equal(vectors.weights), "what was sent is not touched"


def test_nothing_of_it_is_sent() -> None:
    parts = parts_of(model=NORM)
    staying, vectors = Staying(parts.vectors, NAMES), parts.vectors
    updates, buffers = torch.ones(2, vectors.layout.size), torch.ones(2, len(vectors.buffers))
    updates, buffers = staying.withhold(updates, buffers, vectors.buffers)
    for span in vectors.layout:
        assert (span.of(updates) == (span.name not in NAMES)).all(), span.name
    assert buffers.equal(vectors.buffers.expand(2, -1))


def test_over_two_rounds_in_a_site() -> None:
    """Against clients that are trained by themselves from what each of them has."""
    parts = parts_of(model=NORM, federation__aggregator="fedbn")
    site, trainer = Site(parts, "sequential"), Sequential(parts.local())
    clients, start = [0, 3], sent_of(parts)
    first = site.train(start, Bin(clients, [{}, {}]))
    shifted = start.weights + 0.1
    second_sent = sent_of(parts, 1, weights=shifted, buffers=start.buffers)
    second = site.train(second_sent, Bin(clients, first.states))
    stay = torch.cat(
        [torch.full((s.stop - s.start,), s.name in NAMES) for s in parts.vectors.layout]
    )
    assert stay.sum() == 16
    for place, client in enumerate(clients):
        own = parts.staying.start(shifted, start.buffers, first.states[place])
        assert own[0][~stay].equal(shifted[~stay])
        assert not torch.equal(own[0][stay], shifted[stay])
        member = next(iter(site._members(second_sent, Bin([client], [first.states[place]]))))
        (chunk,) = trainer([member], second_sent)
        kept = parts.staying.kept(chunk.weights[0], chunk.buffers[0])
        for name, value in kept.items():
            assert second.states[place][name].equal(value)
    mean = second.sums["update"] / sum(second.weights)
    assert (mean[stay] == 0).all()
    assert mean[~stay].abs().max() > 0
    torch.testing.assert_close(second.mean_buffers(), start.buffers)
