"""Scaled layers compute what ordinary ones with multiplied weights do, and fold into them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainwright_strategies.layers.scaled import folded, scaled

LAYERS = {
    "linear": (nn.Linear(6, 5), (3, 6)),
    "without bias": (nn.Linear(6, 5, bias=False), (3, 6)),
    "convolution": (nn.Conv2d(4, 6, (3, 2), 2, padding=1, dilation=2, groups=2), (2, 4, 9, 8)),
    "reflected": (nn.Conv2d(3, 2, 3, padding="same", padding_mode="reflect"), (2, 3, 5, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_the_layer_with_multiplied_weights(name: str) -> None:
    layer, shape = LAYERS[name]
    torch.manual_seed(0)
    made, x = scaled(layer.double().eval(), 0.25), torch.randn(shape, dtype=torch.float64)
    assert [*made.state_dict()] == [*layer.state_dict()]
    assert not made.training
    assert made.bias is None or not made.bias.any()
    if made.bias is not None:
        nn.init.normal_(made.bias)
    with torch.no_grad():
        layer.weight.copy_(0.25 * made.weight)
        if layer.bias is not None:
            layer.bias.copy_(made.bias)
    torch.testing.assert_close(made(x), layer(x))
    plain = folded(made)
    assert type(plain) is type(layer)
    assert not plain.training
    torch.testing.assert_close(plain(x), layer(x))


def test_weights_are_of_order_one() -> None:
    torch.manual_seed(0)
    for layer in (nn.Linear(60, 50), nn.Conv2d(20, 20, 3)):
        weight = scaled(layer, 0.1).weight
        assert weight.requires_grad
        weight = weight.detach()
        assert abs(float(weight.mean())) < 0.1
        assert abs(float(weight.std()) - 1) < 0.05


def test_a_factor_of_the_first_outputs() -> None:
    torch.manual_seed(0)
    made, x = scaled(nn.Linear(4, 6), 0.5), torch.randn(2, 3, 4)
    nn.init.normal_(made.bias)
    plain = functional.linear(x, 0.5 * made.weight, made.bias)
    made.scale_first(2, 0.1)
    torch.testing.assert_close(made(x)[..., :2], 0.1 * plain[..., :2])
    torch.testing.assert_close(made(x)[..., 2:], plain[..., 2:])
    torch.testing.assert_close(folded(made)(x), made(x))
