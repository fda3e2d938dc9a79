"""The auxiliary losses: their limits, and by hand."""

from __future__ import annotations

import pytest
import torch

from trainwright_strategies.layers.auxiliary_codes import (
    auxiliary_codes,
    auxiliary_loss,
    shortfall,
    zipf_density,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_zipf_density() -> None:
    density = zipf_density(3.0, 5, 1.0)
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5
    assert density.tolist() == pytest.approx([1.0, *(3 / i / harmonic for i in range(2, 6))])
    assert zipf_density(2.0, 8, 0.0).tolist() == pytest.approx([0.25] * 8)


def test_features_with_their_share_add_nothing() -> None:
    wanted = zipf_density(2.0, 6, 1.0)
    need = shortfall(wanted * torch.tensor([1.0, 1.2, 1.0, 3.0, 1.0, 1.0]), wanted)
    assert (need == 0).all()
    affinities = random(4, 6).requires_grad_()
    codes = auxiliary_codes(affinities, need, 3)
    assert (codes == 0).all()
    loss = auxiliary_loss(random(4, 2), codes @ random(6, 2), need)
    loss.backward()
    assert loss == 0
    assert (affinities.grad == 0).all()


def test_a_share_near_nothing_is_aux_k() -> None:
    density = torch.tensor([0.0, 0.3, 0.0, 1e-3, 0.0])
    need = shortfall(density, torch.full((5,), 1e-9))
    assert need.tolist() == [1, 0, 1, 0, 1]
    affinities = random(7, 5)
    codes = auxiliary_codes(affinities, need, 2)
    for row, code in zip(affinities.tolist(), codes.tolist(), strict=True):
        dead = sorted((row[i] for i in (0, 2, 4)), reverse=True)
        assert code == [v if i in (0, 2, 4) and v >= dead[1] else 0 for i, v in enumerate(row)]


def test_codes_are_weighted_by_the_shortfall() -> None:
    need = shortfall(torch.tensor([0.1, 0.3, 0.4]), torch.tensor([0.4, 0.4, 0.4]))
    torch.testing.assert_close(need, torch.tensor([0.75, 0.25, 0.0]))
    codes = auxiliary_codes(torch.tensor([[0.2, 0.8, 5.0], [0.4, 0.1, 5.0]]), need, 1)
    torch.testing.assert_close(codes, torch.tensor([[0.0, 0.2, 0.0], [0.3, 0.0, 0.0]]))


def test_the_residual_gets_no_gradient() -> None:
    residual = random(3, 2).requires_grad_()
    reconstruction = random(3, 2, seed=1).requires_grad_()
    loss = auxiliary_loss(residual, reconstruction, torch.ones(4))
    assert loss.item() == pytest.approx((residual - reconstruction).square().mean().item(), 1e-6)
    loss.backward()
    assert residual.grad is None
    assert reconstruction.grad.any()
