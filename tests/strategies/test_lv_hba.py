"""Sample weights on held-out samples: whole runs against the equations, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from two_level_runs import full_batch_job, samples_of

from trainwright.errors import InputError
from trainwright.strategy import Gradient
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.lv_hba import LvHba, ball_constraint, into_ball

OPTIONS = {"weight_rate": 3.0, "eta": 0.2, "beta": 0.3, "gamma_1": 2.0, "c0": 0.5, "radius": 0.8}
CASE = Case("strategies", "lv_hba", OPTIONS)
STEPS, LR = 6, 0.4


def job_of(**changes: Any) -> dict[str, Any]:
    return full_batch_job(CASE, OPTIONS, LR, STEPS, **changes)


def by_hand(y: list[Tensor], train: dict[str, Tensor], held: dict[str, Tensor]) -> list[Tensor]:
    """The equations of the docstring, one after the other."""
    theta, weights = [value.clone() for value in y], torch.ones(len(train["target"]))
    multiplier = z = 0.0
    radius = OPTIONS["radius"]

    def losses(at: list[Tensor], batch: dict[str, Tensor]) -> Tensor:
        scores = batch["features"] @ at[0].T + at[1]
        return functional.cross_entropy(scores, batch["target"], reduction="none")

    def slope(at: list[Tensor], batch: dict[str, Tensor], factors: Tensor) -> list[Tensor]:
        free = [value.clone().requires_grad_() for value in at]
        return list(torch.autograd.grad((factors * losses(free, batch)).mean(), free))

    def norm(at: list[Tensor]) -> float:
        return float(sum(value.square().sum() for value in at)) ** 0.5

    for k in range(STEPS):
        ones = torch.ones(len(held["target"]))
        of_f, of_upper = slope(y, train, weights), slope(y, held, ones)
        of_theta = slope(theta, train, weights)
        constraint = (norm(theta) ** 2 - radius**2) / (2 * radius)
        moved = [
            t - 0.2 * (g + multiplier * t / radius + (t - v) / 2.0)
            for t, g, v in zip(theta, of_theta, y, strict=True)
        ]
        multiplier = min(max(multiplier + 0.2 * (constraint - (multiplier - z)), 0.0), 1e3)
        theta = moved
        penalty = 0.5 * (k + 1) ** 0.3
        worse = losses(y, train) - losses(theta, train)
        y = [
            v - LR * (u / penalty + f - (v - t) / 2.0)
            for v, u, f, t in zip(y, of_upper, of_f, theta, strict=True)
        ]
        y = [value * min(1.0, radius / norm(y)) for value in y]
        weights = (weights - 3.0 * worse).clamp(0, 1)
        z = min(max(z + 0.3 * (multiplier - z), 0.0), 1e3)
    return [*y, *theta, weights, torch.tensor([multiplier, z])]


@pytest.mark.parametrize(
    "stage", [None, 3, *(pytest.param(stage, marks=pytest.mark.slow) for stage in (0, 1, 2))]
)
def test_runs_follow_the_equations(stage: int | None, two_workers: Any, tmp_path: Any) -> None:
    setup = Setup() if stage is None else Setup("deepspeed", stage, 2)
    with Rig(tmp_path, {2: two_workers}) as rig:
        still = job_of()
        still = {**still, "strategies": [], "optimizer": {"name": "sgd", "lr": 1e-30}}
        start = rig.train(still, Setup()).weights()
        trace = rig.train(job_of(), setup)
        train, held = samples_of(rig, job_of())
    names = ["model.head.weight", "model.head.bias"]
    expected = by_hand([start[name] for name in names], train, held)
    (state,) = trace.strategies.values()
    found = [*(trace.weights()[n] for n in names), *(state["theta"][n] for n in names)]
    for one, other in zip(found, expected[:4], strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-4, atol=1e-5)
    assert [float(state["multiplier"]), float(state["z"])] == pytest.approx(
        expected[5].tolist(), abs=1e-4
    )
    assert float(state["multiplier"]) > 0
    mean = trace.curve("lv_hba/weight")[-1]
    assert mean == pytest.approx(float(expected[4].mean()), abs=1e-4)
    assert mean < 0.99
    assert float(sum(w.square().sum() for w in trace.weights().values())) ** 0.5 < 0.8 + 1e-5


def test_the_ball() -> None:
    weights = Gradient({"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]])})
    value, slope = ball_constraint(weights, 2.0)
    assert float(value) == pytest.approx((25 - 4) / 4)
    assert slope["a"].tolist() == [1.5, 0.0]
    inside = into_ball(weights, 2.0)
    assert inside is not None
    assert float(inside.norm()) == pytest.approx(2.0)
    assert inside["b"].tolist() == [[pytest.approx(1.6)]]
    assert into_ball(inside * 0.999, 2.0) is None
    assert into_ball(weights * 0.0, 2.0) is None


def test_running_statistics_are_counted_as_in_plain_training(tmp_path: Any) -> None:
    """Those of one pass over the first batch, which both trainings meet with the same weights."""
    job = {**job_of(), "model": {"name": "mlp", "options": {"hidden": [5], "batch_norm": True}}}
    job["training"] = {**job["training"], "steps": 1}
    with Rig(tmp_path) as rig:
        plain, ours = rig.train({**job, "strategies": []}, Setup()), rig.train(job, Setup())
    names = [name for name in plain.tensors if "running_" in name[1]]
    assert len(names) == 2
    for name in names:
        torch.testing.assert_close(ours.tensors[name], plain.tensors[name])


def test_a_job_without_validation_samples_is_refused(tmp_path: Any) -> None:
    job = job_of()
    job["data"] = {k: v for k, v in job["data"].items() if k != "validation"}
    with Rig(tmp_path) as rig, pytest.raises(InputError, match="needs the validation split"):
        rig.prepare(job, Setup())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_rate": 0.0}, "weight_rate must be a number above 0"),
        ({"radius": -1.0}, "radius must be a number above 0"),
        ({"eta": 0.0}, "eta must be a number above 0"),
        ({"p": 0.7}, r"p must be in \(0, 0.5\]"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LvHba(**options)
