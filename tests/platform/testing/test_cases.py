"""Cases, setups, states and traces: the parts the checks are made of."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from trainwright.testing import CLASSIFICATION, IMAGES, LOCAL, Case, Rig, Setup, checks_of, values
from trainwright.testing.cases import merged
from trainwright.testing.check import nothing_of
from trainwright.testing.trace import Trace, differences, same


def test_sections_are_merged_and_plugins_replaced() -> None:
    job = merged(CLASSIFICATION, IMAGES)
    assert job["data"]["batch_size"] == 24
    assert job["data"]["source"]["name"] == "synthetic_images"
    assert "num_features" not in job["data"]["source"]["options"]
    assert job["model"] == {"name": "convnet", "options": {"width": 4, "dropout": 0.2}}
    job["data"]["source"]["options"]["num_samples"] = 1
    assert IMAGES["data"]["source"]["options"]["num_samples"] == 96


@pytest.mark.parametrize(
    ("group", "place"),
    [
        ("strategies", lambda job: job["strategies"][0]),
        ("objectives", lambda job: job["objective"]),
        ("models", lambda job: job["model"]),
        ("datasets", lambda job: job["data"]["source"]),
        ("transforms", lambda job: job["data"]["transforms"][-1]),
        ("schedules", lambda job: job["schedule"]),
        ("optimizers", lambda job: job["optimizer"]),
        ("metrics", lambda job: job["metrics"][0]),
    ],
)
def test_the_plugin_stands_in_its_place(group: str, place: Any) -> None:
    job = Case(group, "it", job={"seed": 9}).job_with({"name": 3})
    assert place(job) == {"name": "it", "options": {"name": 3}}
    assert job["seed"] == 9


def test_a_strategy_joins_those_that_the_case_has() -> None:
    case = Case("strategies", "it", job={"strategies": [{"name": "other"}]})
    assert [spec["name"] for spec in case.job_with({})["strategies"]] == ["other", "it"]
    assert [spec["name"] for spec in case.job_without()["strategies"]] == ["other"]


def test_exemptions_need_a_reason_and_hold() -> None:
    with pytest.raises(ValueError, match="an exemption needs a reason"):
        Case("strategies", "early_stopping", exempt={"resumes": " "})
    case = Case("strategies", "early_stopping", exempt={"resumes": "for this test"})
    assert "resumes" not in {check.name for check in checks_of(case)}


def test_setups() -> None:
    assert str(Setup("deepspeed", 3, 2)) == "zero3x2"
    assert str(LOCAL) == "local"
    with pytest.raises(ValueError, match="one worker and no ZeRO stage"):
        Setup("local", workers=2)


def test_quick_checks_train_on_the_hardest_stage_and_full_ones_everywhere() -> None:
    case = Case("strategies", "early_stopping")
    quick = {check.setup for check in checks_of(case)}
    assert quick == {LOCAL, Setup("deepspeed", 3, 2)}
    full = {check.setup for check in checks_of(case, full=True)}
    assert full == {LOCAL, *(Setup("deepspeed", s, w) for s in range(4) for w in (1, 2))}
    schedule = Case("schedules", "cosine")
    assert {check.setup for check in checks_of(schedule, full=True)} == {LOCAL}


NAN = float("nan")


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ({"a": [1, (2.0, NAN)]}, {"a": [1, (2.0, NAN)]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [1, 2, 3], False),
        (torch.tensor([1.0, NAN]), torch.tensor([1.0, NAN]), True),
        (torch.tensor([1.0]), torch.tensor([1.0 + 2**-23]), False),
        (torch.tensor([1.0]), torch.tensor([1.0]).double(), False),
        (torch.tensor([1]), torch.tensor([[1]]), False),
        (torch.tensor([1]), [1], False),
        (NAN, 1.0, False),
    ],
)
def test_equal_states(first: Any, second: Any, equal: bool) -> None:
    assert same(first, second) is equal
    assert same(second, first) is equal


def trace(**changes: Any) -> Trace:
    given = {
        "url": "",
        "metrics": {("train/loss", 1): 0.5, ("train/loss", 2): 0.25},
        "tensors": {("param", "w"): torch.ones(2)},
        "strategies": {},
        "steps": 2,
        "checkpoints": (),
    }
    return Trace(**{**given, **changes})


def test_differences_are_told_in_words() -> None:
    other = trace(
        metrics={("train/loss", 2): 0.5, ("strategy/x", 1): 1.0},
        tensors={("param", "w"): torch.zeros(2)},
        steps=3,
    )
    assert list(differences(trace(), trace())) == []
    assert list(differences(trace(), other)) == [
        "updates: 2 and 3",
        "train/loss at step 1 is missing in the second run",
        "train/loss at step 2: 0.25 and 0.5",
        "strategy/x at step 1 is only in the second run",
        "param w: a tensor of shape [2] and norm 1.4142135623730951 and a tensor of shape [2] "
        "and norm 0.0",
    ]
    assert len(list(differences(trace(), other, only_known=True))) == 4
    assert "step 1" not in " ".join(differences(trace(), other, after=1))


def test_the_first_few_findings_are_shown() -> None:
    nothing_of([], "never said")
    with pytest.raises(AssertionError, match=r"wrong:\n  0\n  1\n  2\n  3\n  4\n  and 2 more$"):
        nothing_of(map(str, range(7)), "wrong")


def test_inputs_are_needed_for_an_objective() -> None:
    with pytest.raises(ValueError, match="the case of objective mse needs 'inputs'"):
        checks_of(Case("objectives", "mse"))


def test_losses_of_libraries_pass_too(tmp_path: Any) -> None:
    case = Case("objectives", "mse", inputs=values((3,)))
    names = {"averages_its_samples", "adds_up", "differentiates", "survives_bf16"}
    with Rig(tmp_path) as rig:
        run = [check for check in checks_of(case) if check.name in names]
        for check in run:
            check(rig)
    assert {check.name for check in run} == names


def test_pytest_is_not_needed() -> None:
    code = "import sys, trainwright.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_a_rig_trains_a_job_once(tmp_path: Any) -> None:
    case = Case("strategies", "early_stopping")
    with Rig(tmp_path) as rig:
        assert rig.train(case.job_without()) is rig.train(case.job_without())
        assert rig.prepare(case.job_without()) is rig.prepare(case.job_without())
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_a_rig_starts_and_ends_the_workers_it_lacks(tmp_path: Any) -> None:
    case = Case("strategies", "early_stopping")
    with Rig(tmp_path) as rig:
        trained = rig.train(case.job_without(), Setup("deepspeed", 2, 2))
        assert trained.steps == 9
        processes = list(rig._workers(2)._processes)
        assert all(process.is_alive() for process in processes)
    assert not any(process.is_alive() for process in processes)
