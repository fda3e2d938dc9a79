"""muP: multipliers and rates by hand, and features that move equally much at every size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright.models.mlp import MLP
from trainwright.models.residual_mlp import ResidualMLP
from trainwright.strategy import Context, Plan
from trainwright_strategies.layers.scaled_linear import ScaledLinear
from trainwright_strategies.mup import Mup, Parameterization, roles_of

RELU, LR = math.sqrt(2), 0.001


def plan_of(optimizer: str = "sgd", **options: Any) -> Plan:
    return Plan(None, 1, 8, None, {"lr": LR, **options}, {}, optimizer)


def prepared(
    method: Mup, model: nn.Module, optimizer: str = "sgd"
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model as the strategy leaves it, and an optimizer of its groups."""
    method.plan(plan_of(optimizer))
    model = method.model(model, Context(seed=0))
    groups = method.parameters([{"params": list(model.named_parameters())}])
    bare = [{**group, "params": [p for _, p in group["params"]]} for group in groups]
    kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    return model, kind(bare, lr=LR)


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


def test_features_move_equally_at_every_width_under_mup_alone() -> None:
    narrow, wide = (over_seeds(mlp(width)) for width in (128, 1024))
    assert 1 / 1.5 < wide[0] / narrow[0] < 1.5
    narrow_ntp, wide_ntp = (over_seeds(mlp(w), mup={"mode": "ntp"}) for w in (128, 1024))
    assert 0.2 < wide_ntp[0] / narrow_ntp[0] < 0.55  # 1 / sqrt(8)
    # The output at the start: 1 / sqrt(N) under muP, of order one in ntp.
    assert 0.25 < wide[1] / narrow[1] < 0.5
    assert 0.7 < wide_ntp[1] / narrow_ntp[1] < 1.4


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


def test_an_exported_model_is_ordinary_and_computes_the_same() -> None:
    torch.manual_seed(0)
    method = Mup()
    model, stepper = prepared(method, MLP(20, 3, hidden=[16, 16], batch_norm=True))
    x = torch.randn(6, 20)
    functional.cross_entropy(model(x)["logits"], torch.arange(6) % 3).backward()
    stepper.step()
    expected = model.eval()(x)["logits"]
    exported = method.export(model)
    assert {type(m) for m in exported.modules() if isinstance(m, nn.Linear)} == {nn.Linear}
    torch.testing.assert_close(exported(x)["logits"], expected)


def test_roles() -> None:
    model = MLP(20, 3, hidden=[16, 16])
    assert roles_of(model, {}) == {"body.0": "input", "body.2": "hidden", "head": "output"}
    assert roles_of(model, {"body.*": "input"})["body.2"] == "input"
    with pytest.raises(ValueError, match=r"'haed' fits none of body\.0, .*; nearest: head"):
        roles_of(model, {"haed": "output"})
    with pytest.raises(ValueError, match="must have an input and an output layer"):
        roles_of(MLP(20, 3, hidden=[]), {})
    with pytest.raises(ValueError, match="does not know how Conv2d, Embedding should be"):
        roles_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Embedding(3, 2), nn.Linear(2, 2)), {})


def test_a_shared_weight_is_refused() -> None:
    model = MLP(16, 16, hidden=[16])
    model.head.weight = model.body[0].weight
    method = Mup()
    method.plan(plan_of())
    with pytest.raises(ValueError, match="share one weight"):
        method.model(model, Context(seed=0))


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
