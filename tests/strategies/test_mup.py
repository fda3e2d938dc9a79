"""muP: multipliers and rates by hand, and features that move equally much at every size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scaled_networks import LR, decoder, plan_of, prepared
from torch import Tensor, nn

from trainwright.models import ConvNet
from trainwright.models.mlp import MLP
from trainwright.models.residual_mlp import ResidualMLP
from trainwright.strategy import Context, Plan
from trainwright_strategies.layers.scaled import ScaledLinear
from trainwright_strategies.mup import Mup


def change(method: Mup, model: nn.Module, optimizer: str = "sgd") -> tuple[float, float]:
    """(median change of the last features in one step, mean absolute output before it)."""
    model, stepper = prepared(method, model, optimizer)
    features: list[Tensor] = []
    last = [part for part in model.modules() if isinstance(part, ScaledLinear)][-1]
    last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].detach()))
    x, y = torch.randn(8, 20), torch.randn(8, 3)
    output = model(x)["logits"]
    (0.5 * (output - y).square().sum(dim=1).mean()).backward()
    stepper.step()
    model(x)
    moved = (features[1] - features[0]).abs()
    return float(moved[moved > 0].median()), float(output.detach().abs().mean())


def over_seeds(make: Any, **options: Any) -> tuple[float, float]:
    found = []
    for seed in range(5):
        torch.manual_seed(seed)
        found.append(change(Mup(**options.get("mup", {})), make(), options.get("by", "sgd")))
    return tuple(sum(values) / len(values) for values in zip(*found, strict=True))  # type: ignore[return-value]


def mlp(width: int) -> Any:
    return lambda: MLP(20, 3, hidden=[width, width])


def test_the_network_is_the_equation() -> None:
    """Against plain matrix products, for an MLP and a residual network."""
    torch.manual_seed(0)
    x = torch.randn(4, 20)
    model, _ = prepared(Mup(gain=1.5), MLP(20, 3, hidden=[16, 16], bias=False))
    first, second, last = (p.detach() for p in model.parameters())
    assert abs(float(second.std()) - 1) < 0.15
    h = x @ first.T / math.sqrt(20)
    h = 1.5 * h.relu() @ second.T / 4
    torch.testing.assert_close(model(x)["logits"], 1.5 * h.relu() @ last.T / 16)
    model, _ = prepared(Mup("depth_mup", gain=1.5), ResidualMLP(20, 3, 16, depth=2, bias=False))
    first, *blocks, last = (p.detach() for p in model.parameters())
    h = x @ first.T / math.sqrt(20)
    for block in blocks:
        h = h + 1.5 * h.relu() @ block.T / math.sqrt(16 * 2)
    torch.testing.assert_close(model(x)["logits"], 1.5 * h.relu() @ last.T / 16)


def test_features_move_equally_under_adam() -> None:
    narrow, wide = (over_seeds(mlp(width), by="adam")[0] for width in (128, 1024))
    assert 1 / 1.5 < wide / narrow < 1.5


@pytest.mark.parametrize("by", ["sgd", "adam"])
def test_features_move_equally_at_every_depth_under_depth_mup_alone(by: str) -> None:
    def residual(depth: int) -> Any:
        return lambda: ResidualMLP(20, 3, width=64, depth=depth)

    def ratio(mode: str, *depths: int) -> float:
        moved = [over_seeds(residual(d), mup={"mode": mode}, by=by)[0] for d in depths]
        return moved[1] / moved[0]

    assert 1 / 2 < ratio("depth_mup", 2, 32) < 2
    assert ratio("mup", 2, 8) > 10


def test_groups_have_the_rates_of_their_parameters() -> None:
    model = MLP(20, 3, hidden=[16, 16])
    method = Mup()
    method.plan(plan_of())
    model = method.model(model, Context(seed=0))
    named = list(model.named_parameters())
    rates = {
        name: group["lr"]
        for group in method.parameters([{"params": named, "weight_decay": 0.1}])
        for name, _ in group["params"]
        if group["weight_decay"] == 0.1
    }
    assert rates == {
        name: pytest.approx(LR if name == "head.bias" else 16 * LR) for name, _ in named
    }
    with pytest.raises(ValueError, match="set keep_ratio"):
        method.parameters([{"params": named, "lr": 0.5}])
    method.keep_ratio = True
    assert {g["lr"] for g in method.parameters([{"params": named, "lr": 0.5}])} == {0.5, 8.0}


def test_sp_leaves_everything() -> None:
    model, method = MLP(20, 3, hidden=[16]), Mup("sp")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    method.plan(plan_of("rmsprop"))
    assert method.model(model, Context(seed=0)) is model
    groups = [{"params": list(model.named_parameters())}]
    assert method.parameters(groups) is groups
    assert all(p.equal(before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("kind", ["mlp", "gpt", "convnet"])
def test_an_exported_model_is_ordinary_and_computes_the_same(kind: str) -> None:
    """Its weights, in a network that knows nothing of all this, give the same outputs."""
    makes: dict[str, Any] = {
        "mlp": (lambda: MLP(20, 3, hidden=[16, 16], batch_norm=True), torch.randn(6, 20)),
        "gpt": (decoder, torch.arange(24).view(4, 6) % 11),
        "convnet": (lambda: ConvNet(1, 3, width=4), torch.randn(6, 1, 5, 5)),
    }
    make, x = makes[kind]
    torch.manual_seed(0)
    method = Mup()
    model, stepper = prepared(method, make())
    model(x)["logits"].square().mean().backward()
    stepper.step()
    expected = model.eval()(x)["logits"]
    plain = make().eval()
    plain.load_state_dict(method.export(model).state_dict())
    torch.testing.assert_close(plain(x)["logits"], expected)


def test_a_shared_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"share one weight.* tie_embeddings to false"):
        prepared(Mup(), decoder(tied=True))


@pytest.mark.parametrize(
    ("mode", "plan", "message"),
    [
        ("mup", plan_of("rmsprop"), "mup has rates for sgd, adam, adamw, .*, got rmsprop"),
        ("ntp", plan_of("adam"), "ntp has rates for sgd, got adam"),
        ("mup", Plan(None, 1, 8, None, {}, {}, "sgd"), "must give optimizer.lr"),
    ],
)
def test_optimizers_without_a_rule(mode: Any, plan: Plan, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mup(mode).plan(plan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "mean_field"}, "mode must be mup, depth_mup, ntp or sp"),
        ({"gamma0": 0.0}, "gamma0 must be a number above 0"),
        ({"gain": math.nan}, "gain must be a number above 0"),
        ({"base_width": 0}, "base_width must be a whole number of at least 1"),
        ({"base_width": 1.5}, "base_width must be a whole number of at least 1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mup(**options)
