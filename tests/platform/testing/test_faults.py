"""The checks find what they are for: plugins with one fault each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainwright.testing import LOCAL, REGRESSION, Case, Check, Rig, Setup, checks_of, values

PLUGINS = Path(__file__).parent / "plugins"
TWO = Setup("deepspeed", 2, 2)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, two_workers: Any) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("rig"), {2: two_workers}) as rig:
        yield rig


def faulty(group: str, name: str, **settings: Any) -> Case:
    return Case(group, f"faulty.py:{name}", base=PLUGINS, **settings)


def strategy(name: str, **settings: Any) -> Case:
    return faulty("strategies", name, **settings)


def objective(name: str) -> Case:
    return faulty("objectives", name, inputs=values((2,)), job=REGRESSION)


def the_check(case: Case, name: str, setup: Setup = LOCAL) -> Check:
    full = checks_of(case, full=True)
    (check,) = [check for check in full if check.name == name and check.setup == setup]
    return check


DROPOUT = {"model": {"name": "mlp", "hidden": [17], "dropout": 0.5}}


@pytest.mark.parametrize(
    ("case", "name", "message"),
    [
        (strategy("NearlyNeutral"), "is_neutral", "with the neutral setting .* training differs"),
        (strategy("Forgetful"), "resumes", "the resumed run differs:\n  train/loss at step 5"),
        (strategy("Amnesiac"), "keeps_its_state", "gives back another state .* updates"),
        (strategy("Placebo"), "changes_training", "nothing differs from training without it"),
        (strategy("OwnNoise"), "accumulates", "losses differ in micro-batches:\n  update 1"),
        (strategy("Unexplained"), "explains_itself", "strength is not described(.|\n)*no type"),
        (strategy("Meddler", job=DROPOUT), "leaves_the_trajectory", "the probe changes training"),
        (strategy("Silent"), "leaves_the_trajectory", "the probe records nothing"),
        (objective("WrongGradient"), "differentiates", "Jacobian mismatch"),
        (objective("Summed"), "averages_its_samples", "the mean over samples is not the loss"),
        (objective("Summed"), "adds_up", "micro-batches do not add up to the batch"),
        (objective("Overflowing"), "survives_bf16", "the loss is inf|not finite"),
        (objective("Ordered"), "ignores_the_order", "depends on the order of the samples"),
        (faulty("transforms", "BatchNoise"), "treats_samples_alone", "depends on the order"),
        (faulty("transforms", "EpochNoise"), "evaluates_the_same", "changes with the epoch"),
        (faulty("transforms", "Unlearning"), "keeps_what_it_learnt", "state is not taken over"),
        (faulty("schedules", "Counting"), "is_a_function_of_the_update", "calls before"),
        (faulty("schedules", "Negative"), "is_a_function_of_the_update", "not negative"),
        (faulty("datasets", "fresh_numbers"), "loads_the_same", "differs from load to load"),
    ],
    ids=lambda value: str(value).replace("faulty.py:", "") if isinstance(value, Case) else None,
)
def test_the_fault_is_found(case: Case, name: str, message: str, rig: Rig) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=message):
        the_check(case, name)(rig)


def test_noise_of_each_worker_is_found(rig: Rig) -> None:
    with pytest.raises(AssertionError, match="losses differ from one worker's"):
        the_check(strategy("OwnNoise"), "trains", TWO)(rig)


def test_a_sound_strategy_passes_every_check(rig: Rig) -> None:
    names = set()
    for check in checks_of(strategy("Sound")):
        check(rig)
        names.add(check.name)
    assert names == {
        "accumulates",
        "changes_training",
        "explains_itself",
        "is_neutral",
        "keeps_its_state",
        "refuses",
        "resumes",
        "trains",
        "trains_in_bf16",
    }


def test_a_strategy_is_checked_where_it_declares(rig: Rig) -> None:
    checks = checks_of(strategy("StageOneOnly"), full=True)
    setups = {check.setup for check in checks if check.name == "trains"}
    assert setups == {Setup("deepspeed", 1, 1), Setup("deepspeed", 1, 2)}
    assert not [check for check in checks if check.name == "trains_in_bf16"]
    (refuses,) = [check for check in checks if check.name == "refuses"]
    refuses(rig)
