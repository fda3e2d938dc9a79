"""The sparse autoencoder: its outputs, its start, directions of length 1."""

from __future__ import annotations

import torch

from trainwright.models import SparseAutoencoder


def test_outputs_by_hand() -> None:
    torch.manual_seed(0)
    model = SparseAutoencoder(6, 15).double()
    model.centre.data.normal_()
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    outputs = model(x)
    shifted = x.flatten(1) - model.centre
    affinities = (shifted @ model.encoder.weight.T + model.encoder.bias).clamp(min=0)
    total = sum(
        affinities[:, [i]] * (row / row.norm()) for i, row in enumerate(model.decoder.weight)
    )
    torch.testing.assert_close(outputs["affinities"], affinities)
    torch.testing.assert_close(outputs["codes"], affinities)
    torch.testing.assert_close(outputs["reconstruction"], total + model.centre)
    assert outputs["inputs"].equal(x.flatten(1))


def test_it_begins_with_the_encoder_as_transpose_of_the_directions() -> None:
    model = SparseAutoencoder(6, 15)
    assert model.encoder.weight.norm(dim=1).allclose(torch.ones(15))
    code = torch.eye(15)
    assert model.decoder(code).allclose(model.encoder.weight, atol=1e-6)


def test_the_length_of_a_direction_neither_counts_nor_is_pulled() -> None:
    model = SparseAutoencoder(6, 15)
    x = torch.randn(8, 6)
    before = model(x)["reconstruction"]
    before.square().sum().backward()
    weight = model.decoder.weight
    along = (weight.grad * weight).sum(dim=1) / weight.norm(dim=1)
    assert along.abs().max() < 1e-5 * weight.grad.norm()
    weight.data *= torch.rand(15, 1) + 0.5
    torch.testing.assert_close(model(x)["reconstruction"], before)
