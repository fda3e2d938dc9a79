from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainwright.data.sources import digits
from trainwright.models import MLP, ConvNet, ResidualMLP, ResNet, ViT

BUILD = {
    "mlp": lambda: MLP(in_features=64, out_features=10),
    "mlp_norm": lambda: MLP(in_features=64, out_features=10, batch_norm=True, dropout=0.1),
    "linear": lambda: MLP(in_features=64, out_features=10, hidden=[]),
    "residual_mlp": lambda: ResidualMLP(in_features=64, out_features=10, width=32),
    "resnet": lambda: ResNet(in_channels=1, out_features=10, depth=8, width=8),
    "convnet": lambda: ConvNet(in_channels=1, out_features=10, width=16),
    "convnet_plain": lambda: ConvNet(in_channels=1, out_features=10, width=16, batch_norm=False),
    "vit": lambda: ViT(in_channels=1, image_size=8, out_features=10, patch=2, dim=32, depth=2),
}
EMBEDDING = {"linear": 64, "mlp": 64, "mlp_norm": 64, "resnet": 32, "vit": 32}


@pytest.mark.parametrize("name", BUILD)
def test_named_outputs_and_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    model = BUILD[name]()
    outputs = model(torch.rand(5, 1, 8, 8))
    assert set(outputs) == {"logits", "embedding"}
    assert outputs["logits"].shape == (5, 10)
    assert outputs["embedding"].shape == (5, EMBEDDING.get(name, 32))
    functional.cross_entropy(outputs["logits"], torch.arange(5)).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.ndim > 0, parameter_name
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", BUILD)
def test_weights_come_from_the_global_seed_alone(name: str) -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(nn.utils.parameters_to_vector(BUILD[name]().parameters()))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("name", "epochs", "rate"),
    [("mlp", 6, 5e-3), ("resnet", 4, 1e-2), ("convnet", 6, 1e-2), ("vit", 10, 3e-3)],
)
def test_learns_digits(name: str, epochs: int, rate: float) -> None:
    torch.manual_seed(0)
    model, table = BUILD[name](), digits()
    order = torch.randperm(len(table))
    test, train = table.take(order[:360]), order[360:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(epochs):
        for indices in train[torch.randperm(len(train))].split(64):
            batch = table.take(indices)
            optimizer.zero_grad()
            functional.cross_entropy(model(batch["image"])["logits"], batch["target"]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = model(test["image"])["logits"].argmax(1) == test["target"]
    assert right.float().mean() > 0.92


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_resnet_has_the_published_number_of_weights(depth: int, millions: float) -> None:
    model = ResNet(in_channels=3, out_features=10, depth=depth)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth


@pytest.mark.parametrize("depth", [2, 7, 9, 18])
def test_resnet_refuses_a_depth_that_does_not_exist(depth: int) -> None:
    with pytest.raises(ValueError, match=r"6n \+ 2"):
        ResNet(in_channels=3, out_features=10, depth=depth)


def test_resnet_takes_odd_and_tiny_images() -> None:
    model = ResNet(in_channels=3, out_features=4, depth=8)
    for size in ((7, 5), (1, 1), (32, 32)):
        assert model(torch.rand(2, 3, *size))["logits"].shape == (2, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 8, "patch": 16}, "16 x 16 pixels do not fill an image of 8 x 8"),
        ({"image_size": (8, 6), "patch": 4}, "8 x 6"),
        ({"image_size": 8, "patch": 4, "dim": 30, "heads": 4}, "heads must divide dim"),
    ],
)
def test_vit_refuses_what_cannot_be(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViT(in_channels=1, out_features=10, **options)


def test_vit_takes_oblong_images_and_has_second_derivatives() -> None:
    model = ViT(in_channels=1, image_size=(4, 8), out_features=2, patch=4, dim=16, depth=1)
    x = torch.rand(3, 1, 4, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x)["logits"].sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_vit_attention_matches_torch() -> None:
    torch.manual_seed(0)
    block = ViT(in_channels=1, image_size=8, out_features=2, patch=4, dim=16, depth=1).blocks[0]
    reference = nn.MultiheadAttention(16, 4, batch_first=True)
    reference.in_proj_weight.data.copy_(block.qkv.weight)
    reference.in_proj_bias.data.copy_(block.qkv.bias)
    reference.out_proj.load_state_dict(block.project.state_dict())
    x = torch.rand(2, 5, 16)
    torch.testing.assert_close(block.attention(x), reference(x, x, x)[0])


def test_convnet_has_one_dropout_before_the_head() -> None:
    model = ConvNet(in_channels=1, out_features=10, dropout=0.5)
    names = [name for name, m in model.named_modules() if isinstance(m, nn.Dropout)]
    assert names == ["dropout"]
    x = torch.rand(4, 1, 8, 8)
    first, second = model(x), model(x)
    assert torch.equal(first["embedding"], second["embedding"])
    assert not torch.equal(first["logits"], second["logits"])
    model.eval()
    assert torch.equal(model(x)["logits"], model(x)["logits"])


def test_mlp_without_biases_is_homogeneous() -> None:
    model = MLP(8, 3, hidden=[5, 4], bias=False)
    assert [name for name, _ in model.named_parameters() if "bias" in name] == []
    x = torch.randn(6, 8)
    torch.testing.assert_close(model(2 * x)["logits"], 2 * model(x)["logits"])


def test_blocks_of_a_residual_mlp_add_to_their_input() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 8)
    for skip in (True, False):
        model = ResidualMLP(8, 3, width=6, depth=2, activation="tanh", skip=skip, bias=False)
        stem, *blocks, head = (p.detach() for p in model.parameters())
        h = x @ stem.T
        for block in blocks:
            h = (h if skip else 0) + h.tanh() @ block.T
        torch.testing.assert_close(model(x)["logits"], h.tanh() @ head.T)
        torch.testing.assert_close(model(x)["embedding"], h.tanh())


def test_mlp_options_make_the_layers() -> None:
    model = MLP(8, 3, hidden=[5, 4], activation="tanh", dropout=0.2, batch_norm=True)
    kinds = [type(layer).__name__ for layer in model.body]
    assert kinds == ["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 2
    assert model(torch.rand(2, 8))["embedding"].shape == (2, 4)
