"""Schedules against closed forms and against torch's own schedulers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.optim import lr_scheduler

from trainwright.durations import Duration
from trainwright.errors import PluginError
from trainwright.plugins import create, find
from trainwright.plugins.options import check_options
from trainwright.schedules import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    OneCycle,
    Polynomial,
    Step,
    in_steps,
)

TOTAL, EPOCH = 40, 10


def factors(schedule, total=TOTAL, epoch=EPOCH, extra=0):
    factor = schedule.bind(total, epoch)
    return [factor(step) for step in range(total + extra)]


def torch_factors(make, total=TOTAL):
    """The rates that a torch scheduler gives, per base rate."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (Linear(), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, TOTAL)),
        (Linear(final=0.25), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.25, TOTAL)),
        (Cosine(), lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL)),
        (Cosine(final=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.1)),
        (Polynomial(power=3.0), lambda o: lr_scheduler.PolynomialLR(o, TOTAL, power=3.0)),
        (
            Step(milestones=[0.5, Duration(3, "epochs")], gamma=0.2),
            lambda o: lr_scheduler.MultiStepLR(o, [20, 30], gamma=0.2),
        ),
        (OneCycle(), lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=TOTAL)),
        (
            OneCycle(warmup=Duration(10, "steps"), start=0.1, final=1e-3, curve="linear"),
            lambda o: lr_scheduler.OneCycleLR(
                o,
                1.0,
                total_steps=TOTAL,
                pct_start=0.25,
                div_factor=10,
                final_div_factor=100,
                anneal_strategy="linear",
            ),
        ),
        (
            Constant(warmup=Duration(1, "epochs")),
            lambda o: lr_scheduler.LinearLR(o, 1 / 11, 1.0, 10),
        ),
        (
            Cosine(warmup=0.25),
            lambda o: lr_scheduler.SequentialLR(
                o,
                [
                    lr_scheduler.LinearLR(o, 1 / 11, 1.0, 10),
                    lr_scheduler.CosineAnnealingLR(o, TOTAL - 10),
                ],
                milestones=[10],
            ),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_agrees_with_torch(schedule, make):
    assert factors(schedule) == pytest.approx(torch_factors(make), abs=1e-12)


def test_inverse_sqrt_is_the_published_formula_scaled_to_a_peak_of_one():
    w = 10 + 1
    published = [min((t + 1) ** -0.5, (t + 1) * w**-1.5) for t in range(TOTAL)]
    scaled = [value * math.sqrt(w) for value in published]
    assert factors(InverseSqrt(warmup=0.25)) == pytest.approx(scaled)


def test_polynomial_with_warmup_and_final_by_hand():
    values = factors(Polynomial(power=2.0, warmup=Duration(2, "steps"), final=0.5), total=6)
    by_hand = [1 / 3, 2 / 3] + [0.5 + 0.5 * (1 - u / 4) ** 2 for u in range(4)]
    assert values == pytest.approx(by_hand)


def test_step_with_warmup_multiplies_both():
    values = factors(Step(milestones=[Duration(2, "steps")], gamma=0.5, warmup=0.5), total=6)
    assert values == pytest.approx([1 / 4, 2 / 4, 0.5 * 3 / 4, 0.5, 0.5, 0.5])


ALL = [
    Constant(warmup=0.1),
    Linear(warmup=0.1, final=0.1),
    Cosine(warmup=0.1, final=0.1),
    Step(milestones=[0.3, 0.6], warmup=0.1),
    Polynomial(warmup=0.1),
    OneCycle(),
    InverseSqrt(warmup=0.1),
]


@pytest.mark.parametrize("schedule", ALL, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize("total", [1, 2, 3, 7, 1000])
def test_rises_to_one_then_never_rises_and_rests_after_the_end(schedule, total):
    values = factors(schedule, total=total, epoch=5, extra=50)
    assert all(0 <= value <= 1 + 1e-12 for value in values)
    assert values[0] > 0
    peak = values.index(max(values))
    assert values[:peak] == sorted(values[:peak])
    fall = values[peak:]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(fall))
    assert len(set(values[total:])) == 1
    if total == 1000:
        assert max(values) == pytest.approx(1.0)


@pytest.mark.parametrize("schedule", ALL, ids=lambda item: type(item).__name__)
def test_is_a_pure_function(schedule):
    factor = schedule.bind(50, 10)
    again = schedule.bind(50, 10)
    forwards = [factor(step) for step in range(50)]
    backwards = [again(step) for step in reversed(range(50))]
    assert forwards == backwards[::-1]


def test_warmup_longer_than_training_only_rises():
    values = factors(Cosine(warmup=Duration(9, "steps")), total=4)
    assert values == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("span", "steps"),
    [
        (0.0, 0),
        (0.05, 2),
        (0.0625, 3),  # 2.5 updates: halves go up
        (1.0, 40),
        (Duration(7, "steps"), 7),
        (Duration(1.5, "epochs"), 15),
        (Duration(100, "epochs"), 1000),
    ],
)
def test_spans_in_steps(span, steps):
    assert in_steps(span, TOTAL, EPOCH) == steps


NAMES = {
    "constant": Constant,
    "linear": Linear,
    "cosine": Cosine,
    "polynomial": Polynomial,
    "one_cycle": OneCycle,
    "inverse_sqrt": InverseSqrt,
}


@pytest.mark.parametrize("name", NAMES)
def test_created_by_name_with_options_as_yaml_gives_them(name):
    schedule = create("schedules", name, warmup="20 steps")
    assert isinstance(schedule, NAMES[name])
    assert schedule.warmup == Duration(20, "steps")
    assert create("schedules", name, warmup=0.5).warmup == 0.5


def test_step_by_name_takes_mixed_milestones():
    schedule = create("schedules", "step", milestones=["2 epochs", 0.75, "35 steps"])
    assert factors(schedule)[::5] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.001])


@pytest.mark.parametrize(
    ("name", "options", "path"),
    [
        ("cosine", {"warmup": 1.5}, "schedule.warmup"),
        ("cosine", {"warmup": "3"}, "schedule.warmup"),
        ("cosine", {"warmup": True}, "schedule.warmup"),
        ("cosine", {"final": -0.1}, "schedule.final"),
        ("cosine", {"fnal": 0.1}, "schedule.fnal"),
        ("polynomial", {"power": 0}, "schedule.power"),
        ("step", {}, "schedule.milestones"),
        ("step", {"milestones": []}, "schedule.milestones"),
        ("one_cycle", {"curve": "cosin"}, "schedule.curve"),
    ],
)
def test_wrong_options_are_refused_where_they_stand(name, options, path):
    _, problems = check_options(find("schedules", name), options, "schedule")
    assert [problem.path for problem in problems] == [path]


def test_create_raises_all_problems_at_once():
    with pytest.raises(PluginError) as raised:
        create("schedules", "cosine", warmup=2, finl=0.1)
    assert len(raised.value.problems) == 2
    assert raised.value.problems[1].nearest == "final"
