"""The coordinate check: sizes and changes of activations stay the same over widths and depths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scaled_networks import decoder, prepared
from torch import Tensor, nn
from torch.nn import functional

from trainwright.models import ConvNet, ViT
from trainwright.models.mlp import MLP
from trainwright_strategies.mup import Mup

Make = Callable[[int], nn.Module]

WORKED = [
    ("mup", 128, 0.00516, 0.0365),
    ("mup", 512, 0.00521, 0.0196),
    ("ntp", 128, 0.000488, 0.413),
    ("ntp", 512, 0.000276, 0.444),
    pytest.param("mup", 2048, 0.00504, 0.0100, marks=pytest.mark.slow),
    pytest.param("ntp", 2048, 0.000109, 0.451, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("mode", "width", "move", "size"), WORKED)
def test_one_step_by_worked_numbers(mode: Any, width: int, move: float, size: float) -> None:
    """Of three layers: the change of the second pre-activation, and the output before it."""
    found = [_one_step(mode, width, seed) for seed in range(5)]
    moved, output = (sum(values) / 5 for values in zip(*found, strict=True))
    assert moved == pytest.approx(move, rel=3e-3)  # they have three digits
    assert output == pytest.approx(size, rel=3e-3)


def _one_step(mode: Any, width: int, seed: int) -> tuple[float, float]:
    """(median change of a pre-activation in one step, mean absolute output before it)."""
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(8, 16, generator=random), torch.randn(8, 1, generator=random)
    model, stepper = prepared(Mup(mode, gain=1), MLP(16, 1, [width, width], bias=False), "sgd", 0.1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=random))
    seen: list[Tensor] = []
    model.body[2].register_forward_hook(lambda *passed: seen.append(passed[-1].detach()))
    output = model(x)["logits"]
    (0.5 * (output - y).square().mean()).backward()
    stepper.step()
    model(x)
    return float((seen[1] - seen[0]).abs().median()), float(output.detach().abs().mean())


def sizes(
    make: Make, size: int, watched: str, data: tuple[Tensor, Tensor], **options: Any
) -> list[float]:
    """Mean absolute output, and input of the layers watched, after four steps, over two seeds."""
    by, rate, mup = options["by"], options["rate"], options.get("mup", {})
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        model, stepper = prepared(Mup(**mup), make(size), by, rate)
        for _ in range(4):
            loss = functional.cross_entropy(model(data[0])["logits"].flatten(0, -2), data[1])
            stepper.zero_grad()
            loss.backward()
            stepper.step()
        seen: list[Tensor] = []
        for name, part in model.named_modules():
            if watched in name:
                part.register_forward_pre_hook(lambda _, x, to=seen: to.append(x[0]))
        with torch.no_grad():
            seen.insert(0, model(data[0])["logits"])
        found.append([float(x.abs().mean()) for x in seen])
    assert len(found[0]) > 1
    return [sum(values) / 2 for values in zip(*found, strict=True)]


def spread(
    make: Make, watched: str, data: tuple[Tensor, Tensor], *, of: tuple[int, int], **options: Any
) -> float:
    """The largest ratio between two sizes of a network, of the output and the layers watched."""
    small, large = (sizes(make, size, watched, data, **options) for size in of)
    return max(max(a / b, b / a) for a, b in zip(small, large, strict=True))


def tokens() -> tuple[Tensor, Tensor]:
    torch.manual_seed(9)
    found = torch.randint(11, (8, 6))
    return found, found.flatten()


def images(side: int = 6) -> tuple[Tensor, Tensor]:
    torch.manual_seed(9)
    return torch.randn(12, 1, side, side), torch.arange(12) % 3


@pytest.mark.parametrize(("by", "rate"), [("sgd", 0.3), ("adam", 0.1)])
def test_a_decoder_is_the_same_at_every_width(by: str, rate: float) -> None:
    options: Any = {"of": (32, 128), "by": by, "rate": rate}
    assert spread(decoder, "norm", tokens(), mup={"gain": 1.0}, **options) < 1.5


def test_without_it_a_decoder_is_not() -> None:
    options: Any = {"of": (32, 128), "by": "adam", "rate": 0.003}
    assert spread(decoder, "norm", tokens(), mup={"mode": "sp"}, **options) > 2


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("by", ["sgd", "adam"])
def test_convolutions_are_the_same_at_every_width(by: str, batch_norm: bool) -> None:
    def make(width: int) -> nn.Module:
        return ConvNet(1, 3, width, batch_norm=batch_norm)

    options: Any = {"of": (16, 64), "by": by, "rate": {"sgd": 2.0, "adam": 0.1}[by]}
    assert spread(make, "features.", images(), **options) < 1.6
    if by == "adam":
        options |= {"rate": 0.01, "mup": {"mode": "sp"}}
        assert spread(make, "features.", images(), **options) > 1.8


@pytest.mark.slow
def test_a_vision_transformer_with_its_positions_declared() -> None:
    def make(dim: int) -> nn.Module:
        return ViT(1, 8, 3, dim=dim, depth=2, heads=2)

    mup = {"gain": 1.0, "roles": {"token": "input", "positions": "input"}}
    options: Any = {"of": (32, 128), "by": "adam", "rate": 0.05, "mup": mup}
    assert spread(make, "norm", images(8), **options) < 1.5


@pytest.mark.slow
def test_a_decoder_is_the_same_at_every_depth_under_depth_mup_alone() -> None:
    def make(depth: int) -> nn.Module:
        return decoder(32, depth)

    def ratio(**mup: Any) -> float:
        options = {"by": "adam", "rate": 0.05, "mup": {"gain": 1.0, **mup}}
        small, large = (sizes(make, depth, "norm", tokens(), **options)[-1] for depth in (2, 16))
        return large / small

    inner = {"*.qkv": "inner", "*.expand": "inner"}
    assert 1 / 1.3 < ratio(mode="depth_mup", roles=inner) < 1.3
    assert ratio() > 2


def scores(dim: int, mup: bool) -> float:
    """How far attention scores move in four steps of Adam towards the token before."""
    data, _ = tokens()
    torch.manual_seed(0)
    model, stepper = prepared(Mup(gain=1.0), decoder(dim, depth=1, heads=1), "adam", 0.3)
    layer = model.blocks[0].qkv
    assert layer.first == (dim, pytest.approx(1 / math.sqrt(dim)))
    if not mup:
        layer.scale_first(0, 1.0)
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda *passed: seen.append(_products(passed[-1].detach(), dim)))
    for _ in range(5):
        logits = model(data)["logits"].flatten(0, -2)
        stepper.zero_grad()
        functional.cross_entropy(logits, data.roll(1, 1).flatten()).backward()
        stepper.step()
    return float((seen[-1] - seen[0]).abs().mean())


def _products(qkv: Tensor, dim: int) -> Tensor:
    q, k, _ = qkv.split(dim, dim=-1)
    return q @ k.transpose(-2, -1) / math.sqrt(dim)


def test_attention_scores_move_equally_because_queries_are_divided() -> None:
    assert 1 / 1.5 < scores(256, mup=True) / scores(64, mup=True) < 1.5
    assert scores(256, mup=False) / scores(64, mup=False) > 1.5
