"""Hyperparameters on held-out samples: whole runs against the equations, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from two_level_runs import full_batch_job, samples_of

from trainwright.errors import InputError
from trainwright.strategy import Gradient
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.bilevel_hyperparam import BilevelHyperparam

STEPS, LR, RATE = 5, 0.4, 3.0
COMMON = {"rate": RATE, "eta": 0.2, "beta": 0.3, "gamma_1": 2.0, "c0": 2.0}
OPTIONS: Mapping[str, dict[str, Any]] = {
    "weight_decay": {**COMMON, "initial": 0.5, "highest": 0.62},
    "norm": {**COMMON, "tune": "norm", "initial": 0.3},
}


def job_of(options: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    case = Case("strategies", "bilevel_hyperparam", options)
    return full_batch_job(case, options, LR, STEPS, **changes)


def by_hand(
    tune: str, y: list[Tensor], train: dict[str, Tensor], held: dict[str, Tensor]
) -> tuple[list[Tensor], list[Tensor], list[float]]:
    """The equations of the docstring, with f and the saddle function left to autograd."""
    theta, x = [value.clone() for value in y], OPTIONS[tune]["initial"]
    multiplier = z = 0.0

    def loss(at: list[Tensor], batch: dict[str, Tensor]) -> Tensor:
        return functional.cross_entropy(batch["features"] @ at[0].T + at[1], batch["target"])

    def slope(function: Any, at: list[Tensor]) -> list[Tensor]:
        free = [value.clone().requires_grad_() for value in at]
        return list(torch.autograd.grad(function(free), free))

    def lower(at: list[Tensor], pull: float = 0.0) -> Tensor:
        if tune == "weight_decay":
            return loss(at, train) + x * at[0].square().sum() / 2
        return loss(at, train) + pull * (at[0].norm() - x)

    for k in range(STEPS):
        of_f, of_upper = slope(lower, y), slope(lambda at: loss(at, held), y)
        of_theta = slope(lambda at, pull=multiplier: lower(at, pull), theta)
        if tune == "norm":
            g = float(theta[0].norm()) - x
            multiplier = max(multiplier + 0.2 * (g - (multiplier - z)), 0.0)
        theta = [t - 0.2 * (s + (t - v) / 2) for t, s, v in zip(theta, of_theta, y, strict=True)]
        penalty, before = 2.0 * (k + 1) ** 0.3, y
        y = [
            v - LR * (u / penalty + f - (v - t) / 2.0)
            for v, u, f, t in zip(y, of_upper, of_f, theta, strict=True)
        ]
        if tune == "weight_decay":
            change = float(before[0].square().sum() - theta[0].square().sum()) / 2
            x = min(max(x - LR * RATE * change, 0.0), 0.62)
        else:
            x -= LR * RATE * multiplier
            length = float(y[0].norm())
            if length > x:  # the tangent point, (length - l)^2 + (x - l)^2 / rate least
                nearest = max(0.0, (RATE * length + x) / (1 + RATE))
                y, x = [y[0] * (nearest / length), y[1]], nearest
        z = max(z + 0.3 * (multiplier - z), 0.0)
    return y, theta, [x, multiplier, z]


CASES = [
    ("weight_decay", None, "fp32"),
    ("norm", None, "fp32"),
    *(
        pytest.param(tune, stage, precision, marks=pytest.mark.slow)
        for tune in OPTIONS
        for stage, precision in (
            (0, "fp32"),
            (1, "fp32"),
            (2, "fp32"),
            (3, "fp32"),
            (2, "bf16"),
            (None, "bf16"),
        )
    ),
]


@pytest.mark.parametrize(("tune", "stage", "precision"), CASES)
def test_runs_follow_the_equations(
    tune: str, stage: int | None, precision: str, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    setup = Setup() if stage is None else Setup("deepspeed", stage, 2)
    job = job_of(OPTIONS[tune])
    groups = {} if stage is None else {2: request.getfixturevalue("two_workers")}
    with Rig(tmp_path, groups) as rig:
        still = {**job, "strategies": [], "optimizer": {"name": "sgd", "lr": 1e-30}}
        start = rig.train(still, Setup()).weights()
        job["training"] = {**job["training"], "precision": precision}
        trace = rig.train(job, setup)
        train, held = samples_of(rig, job)
    names = ["model.head.weight", "model.head.bias"]
    y, theta, found = by_hand(tune, [start[name] for name in names], train, held)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if precision == "fp32" else {"rtol": 0.1, "atol": 0.02}
    (state,) = trace.strategies.values()
    for name, of_y, of_theta in zip(names, y, theta, strict=True):
        torch.testing.assert_close(trace.weights()[name].cpu().float(), of_y, **tolerance)
        torch.testing.assert_close(state["theta"][name].cpu(), of_theta, **tolerance)
    (x,) = state["hyperparameters"].tolist()
    assert x == pytest.approx(found[0], rel=10 * tolerance["rtol"])
    assert abs(x - OPTIONS[tune]["initial"]) > 0.01
    assert trace.curve(f"bilevel_hyperparam/{tune}/weights")[-1] == pytest.approx(x)
    if tune == "norm":
        pair = [float(state["multiplier"]), float(state["z"])]
        assert pair == pytest.approx(found[1:], rel=10 * tolerance["rtol"], abs=1e-3)
        assert min(pair) > 0
        assert float(trace.weights()[names[0]].norm()) <= x * 1.01


def test_each_group_has_its_own(tmp_path: Any) -> None:
    groups = {"head": "head.weight", "others": "*weight"}
    job = job_of({"groups": groups, "tune": "norm"})
    job["model"] = {"name": "mlp", "options": {"hidden": [5]}}
    with Rig(tmp_path) as rig:
        trace = rig.train(job, Setup())
    (state,) = trace.strategies.values()
    assert state["hyperparameters"].shape == state["multiplier"].shape == (2,)
    lengths = {"head": 0.0, "others": 0.0}
    for name, weight in trace.weights().items():
        if name.endswith("weight"):
            lengths["head" if "head" in name else "others"] += float(weight.square().sum())
    for (group, square), bound in zip(
        lengths.items(), state["hyperparameters"].tolist(), strict=True
    ):
        assert 0 < square**0.5 <= bound * (1 + 1e-5)
        assert trace.curve(f"bilevel_hyperparam/norm/{group}")[-1] == pytest.approx(bound)


def test_no_length_no_direction() -> None:
    strategy = BilevelHyperparam(tune="norm", initial=1.0)
    strategy._members = {"weights": ["a"]}
    zero = Gradient({"a": torch.zeros(2, 2), "b": torch.ones(3)})
    values, pull = strategy.constraint(zero)
    assert values.tolist() == [-1.0]
    assert pull["a"].tolist() == [[0.0, 0.0]] * 2
    assert pull["b"].tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": {"head": "haed.*"}}, "groups.head: 'haed.*' fits none of"),
        ({"groups": {"a": "*weight", "b": "head.weight"}}, "groups.b: 'head.weight' fits none of"),
        ({"groups": {}}, "groups must name a group"),
        ({"rate": 0.0}, "rate"),
        ({"initial": -1.0}, "initial"),
        ({"initial": 11.0}, "initial must be at most highest, 10.0, got 11.0"),
        ({"p": 0.7}, "p"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str, tmp_path: Any) -> None:
    with Rig(tmp_path) as rig, pytest.raises(InputError, match=message):
        rig.prepare(job_of(options), Setup())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune": "decay"}, "tune must be weight_decay or norm, got 'decay'"),
        ({"highest": float("inf")}, "highest must be a number above 0"),
        ({"gamma_1": 0.0}, "gamma_1 must be a number above 0"),
        ({"p": 0.7}, r"p must be in \(0, 0.5\]"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BilevelHyperparam(**options)


def test_two_methods_of_the_kind_are_refused(tmp_path: Any) -> None:
    job = job_of({})
    job["strategies"] = [*job["strategies"], {"name": "lv_hba"}]
    with Rig(tmp_path) as rig, pytest.raises(InputError, match="cannot be combined: each takes"):
        rig.prepare(job, Setup())
