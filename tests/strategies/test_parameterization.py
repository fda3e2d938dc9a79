"""Multipliers and rates by hand, and which layer has which role."""

from __future__ import annotations

import math

import pytest
from scaled_networks import decoder, prepared
from torch import nn

from trainwright.models import ViT
from trainwright.models.mlp import MLP
from trainwright_strategies.mup import Mup
from trainwright_strategies.parameterization import Parameterization, roles_of

RELU = math.sqrt(2)


def test_multipliers_and_rates_by_hand() -> None:
    mup = Parameterization("mup", width=64, depth=3)
    assert mup.gamma == 8
    assert mup.multiplier("input", 25) == pytest.approx(1 / 5)
    assert mup.multiplier("hidden", 64) == pytest.approx(RELU / 8)
    assert mup.multiplier("output", 64) == pytest.approx(RELU / 64)
    assert mup.rate("hidden", "weight", adam=False) == mup.rate("input", "vector", adam=False) == 64
    assert mup.rate("output", "vector", adam=False) == 1
    assert mup.rate("hidden", "weight", adam=True) == pytest.approx(1 / 8)
    assert mup.rate("output", "weight", adam=True) == mup.rate("hidden", "vector", adam=True) == 1
    deep = Parameterization("depth_mup", width=64, depth=4)
    assert deep.multiplier("hidden", 64) == pytest.approx(RELU / 16)
    assert deep.multiplier("output", 64) == mup.multiplier("output", 64)
    assert deep.rate("hidden", "weight", adam=True) == pytest.approx(1 / 16)
    assert deep.rate("hidden", "weight", adam=False) == 64
    assert deep.rate("hidden", "vector", adam=False) == 16
    assert deep.rate("hidden", "vector", adam=True) == 1 / 4
    ntp = Parameterization("ntp", width=64)
    assert ntp.multiplier("output", 64) == pytest.approx(RELU / 8)
    assert ntp.rate("hidden", "weight", adam=False) == 1


def test_at_the_base_width_mup_is_ntp() -> None:
    mup = Parameterization("mup", width=64, base_width=64, gamma0=2.0)
    ntp = Parameterization("ntp", width=64, gamma0=2.0)
    for role in ("input", "hidden", "output"):
        assert mup.multiplier(role, 64) == ntp.multiplier(role, 64)
        assert mup.rate(role, "weight", adam=False) == ntp.rate(role, "weight", adam=False)


def test_roles() -> None:
    model = MLP(20, 3, hidden=[16, 16])
    assert roles_of(model, {}) == {"body.0": "input", "body.2": "hidden", "head": "output"}
    assert roles_of(model, {"body.*": "input"})["body.2"] == "input"
    with pytest.raises(ValueError, match=r"'haed' fits none of body\.0, .*; nearest: head"):
        roles_of(model, {"haed": "output"})
    with pytest.raises(ValueError, match="must have an input and an output layer"):
        roles_of(MLP(20, 3, hidden=[]), {})


def test_roles_of_embeddings_and_attention() -> None:
    found = roles_of(decoder(), {"*.qkv": "inner"})
    assert [name for name, role in found.items() if role == "input"] == ["tokens", "positions"]
    assert [name for name, role in found.items() if role == "output"] == ["head"]
    assert found["blocks.1.qkv"] == "inner"
    assert found["blocks.0.project"] == found["blocks.1.contract"] == "hidden"
    with pytest.raises(ValueError, match="tokens is added as it is, and can only be input"):
        roles_of(decoder(), {"tokens": "hidden"})


def test_vectors_that_are_added_are_declared() -> None:
    model = ViT(1, 8, 3, dim=16, depth=1, heads=2)
    with pytest.raises(ValueError, match=r"how ViT should be scaled; .* \(token: input\)"):
        roles_of(model, {})
    assert "token" not in roles_of(model, {"token": "input", "positions": "input"})
    with pytest.raises(ValueError, match="token is added as it is"):
        roles_of(model, {"token": "output", "positions": "input"})
    plain = ViT(1, 8, 3, dim=16, depth=1, heads=2)
    plain.load_state_dict(model.state_dict())
    method = Mup(roles={"token": "input", "positions": "input"})
    prepared(method, model)
    assert model.positions.equal(plain.positions)
    assert method._rates[model.positions] == 16


class BlindAttention(nn.Module):
    """Attention of which nobody knows how it is scaled."""


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (nn.ConvTranspose2d(2, 2, 2), "does not know how ConvTranspose2d should be scaled"),
        (nn.MultiheadAttention(4, 2), "does not know how MultiheadAttention, "),
        (BlindAttention(), "BlindAttention does not say what its queries are"),
    ],
)
def test_parts_without_a_rule(part: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        roles_of(nn.Sequential(nn.Linear(2, 2), part, nn.Linear(2, 2)), {})


def test_depth_mup_must_act_on_what_blocks_add() -> None:
    for model, message in (
        (MLP(20, 3, hidden=[16, 16], batch_norm=True), "batch norm would undo that"),
        (decoder(), "declare the layers inside of blocks as inner"),
    ):
        with pytest.raises(ValueError, match=message):
            prepared(Mup("depth_mup"), model)
    inner = {"*.qkv": "inner", "*.expand": "inner"}
    model, _ = prepared(Mup("depth_mup", gain=1.0, roles=inner), decoder())
    block = model.blocks[0]
    assert block.qkv.multiplier == pytest.approx(1 / 4)
    assert block.project.multiplier == pytest.approx(1 / 4 / math.sqrt(4))  # two blocks add twice
    deep = Parameterization("depth_mup", width=64, depth=4)
    assert (
        deep.rate("inner", "vector", adam=False) == deep.rate("inner", "weight", adam=False) == 64
    )
    assert deep.rate("inner", "vector", adam=True) == 1 / 2
    assert deep.rate("inner", "weight", adam=True) == deep.rate("hidden", "weight", adam=True)
