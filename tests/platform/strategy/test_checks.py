"""What strategies declare, held against a job."""

from __future__ import annotations

import dataclasses

import pytest

from trainwright.strategy import Declares, Strategy
from trainwright.strategy.checks import Setting, check_strategies, conflicts

PLAIN = Setting(engine="deepspeed", zero_stage=2, precision="fp32", has_per_sample=True)


def declaring(**declared) -> Strategy:
    class Declaring(Strategy):
        declares = Declares(**declared)

    return Declaring()


@pytest.mark.parametrize(
    ("declared", "setting", "got", "allowed"),
    [
        ({"engines": ("local",)}, {}, "engine: deepspeed", "engine: local"),
        (
            {"zero_stages": (0, 1)},
            {},
            "deepspeed.zero_optimization.stage: 2",
            "0, 1",
        ),
        (
            {"precisions": ("fp32",)},
            {"precision": "bf16"},
            "training.precision: bf16",
            "fp32",
        ),
    ],
)
def test_a_need_that_is_not_met(declared: dict, setting: dict, got: str, allowed: str) -> None:
    (problem,) = check_strategies(
        {"mine": declaring(**declared)}, dataclasses.replace(PLAIN, **setting)
    )
    assert problem.path == "strategies.0"
    assert problem.message.startswith("mine does not work")
    assert (problem.got, problem.allowed) == (got, allowed)


def test_per_sample_losses() -> None:
    strategy = declaring(per_sample=True)
    assert check_strategies({"mine": strategy}, PLAIN) == []
    without = dataclasses.replace(PLAIN, has_per_sample=False)
    (problem,) = check_strategies({"mine": strategy}, without)
    assert 'reduction="none"' in problem.mend


def test_stages_mean_nothing_on_the_local_engine() -> None:
    strategy = declaring(zero_stages=(0, 1))
    local = dataclasses.replace(PLAIN, engine="local", zero_stage=3)
    assert check_strategies({"mine": strategy}, local) == []


def test_gradients_of_a_compiled_model_have_none_themselves() -> None:
    compiled = dataclasses.replace(PLAIN, is_compiled=True)
    assert check_strategies({"mine": declaring()}, compiled) == []
    (problem,) = check_strategies({"mine": declaring(second_backward=True)}, compiled)
    assert problem.path == "strategies.0"
    assert problem.mend == "leave out training.compile"


def test_several_problems_at_once_with_their_places() -> None:
    strategies = {
        "fine": declaring(),
        "wrong": declaring(engines=("local",), zero_stages=(0,), precisions=("bf16",)),
    }
    problems = check_strategies(strategies, PLAIN)
    assert [problem.path for problem in problems] == ["strategies.1"] * 3


def test_weights_need_an_objective_that_can_be_weighted() -> None:
    setting = dataclasses.replace(PLAIN, unweightable="objective loss compares samples")
    strategies = {"fine": declaring(), "weighting": declaring(sample_weights=True)}
    (problem,) = check_strategies(strategies, setting)
    assert problem.path == "strategies.1"
    assert problem.message == "weighting weights samples, and objective loss compares samples"
    assert check_strategies(strategies, PLAIN) == []


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_conflicts_give_the_reason_and_the_way_out(order: tuple[str, str]) -> None:
    made = {"a": declaring(conflicts={"b": "both own the batch"}), "b": declaring()}
    (problem,) = conflicts({name: made[name] for name in order})
    assert problem.path == f"strategies.{order.index('a')}"
    assert problem.message == "a and b cannot be combined: both own the batch"
    assert problem.mend == "leave out a or b"


def test_a_conflict_with_a_strategy_that_is_not_there() -> None:
    assert conflicts({"a": declaring(conflicts={"b": "no"})}) == []


def test_options_may_make_a_strategy_declare_less_than_its_class() -> None:
    class Optional(Strategy):
        declares = Declares(per_sample=True)

        def __init__(self, second: bool) -> None:
            if second:
                self.declares = dataclasses.replace(self.declares, second_backward=True)

    stage_3 = dataclasses.replace(PLAIN, zero_stage=3)
    assert check_strategies({"optional": Optional(second=False)}, stage_3) == []
    (problem,) = check_strategies({"optional": Optional(second=True)}, stage_3)
    assert problem.allowed == "0, 1, 2"
    assert Optional(second=False).declares is Optional.declares
