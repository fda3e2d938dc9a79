"""What a sweep's best trial is transferred to: its values, its check beforehand, its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import trainwright
from trainwright.errors import JobError
from trainwright.job import Job
from trainwright.search.best import transferred_job
from trainwright.search.plan import Plan, make_plan
from trainwright.search.trials import Trial
from trainwright.storage import Folder

SPACE = {"optimizer.lr": {"loguniform": [0.01, 0.1]}}
WIDER = {"model.hidden": [24, 24]}


def plan(transfer: dict[str, Any], space: dict[str, Any] = SPACE, **base: Any) -> Plan:
    values = {
        "version": 1,
        "kind": "sweep",
        "name": "narrow",
        "base": {
            "data": {"source": {"name": "digits", "step": 20}, "validation": 0.4},
            "model": {"name": "mlp", "hidden": [8, 8]},
            "objective": "cross_entropy",
            "strategies": [{"name": "mup", "base_width": 8}],
            "optimizer": {"name": "adam", "lr": 0.1, "eps": 1e-6},
            "training": {"epochs": 1},
            **base,
        },
        "space": space,
        "metric": "validation/loss",
        "transfer": transfer,
        "tracking": {"enabled": False},
    }
    return make_plan(Job.from_dict(values))


def written(found: Plan, tmp_path: Path, **assignment: Any) -> dict[str, Any]:
    trial = Trial(number=3, assignment=assignment, state="finished", metrics={})
    text = transferred_job(found, trial, Folder(str(tmp_path / "narrow-0123")))
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def problems(transfer: dict[str, Any], space: dict[str, Any] = SPACE) -> list[tuple[str, str]]:
    with pytest.raises(JobError) as caught:
        plan(transfer, space)
    return [(problem.path, problem.message) for problem in caught.value.problems]


def test_the_job_is_the_best_trial_with_the_changes(tmp_path: Path) -> None:
    found = plan({**WIDER, "strategies.0.gain": 1.5})
    values = written(found, tmp_path, **{"optimizer.lr": 0.03125})
    assert values["name"] == "narrow-transferred"
    assert values["model"] == {"name": "mlp", "hidden": [24, 24]}
    assert values["optimizer"] == {"name": "adam", "lr": 0.03125, "eps": 1e-6}
    assert values["strategies"] == [{"name": "mup", "base_width": 8, "gain": 1.5}]
    assert values["training"] == {"epochs": 1}


def test_sections_are_merged_and_a_named_plugin_replaces(tmp_path: Path) -> None:
    nested = {
        "model": {"hidden": [24]},
        "optimizer": {"eps": 1e-5},
        "training": {"max_grad_norm": 1.0},
    }
    values = written(plan(nested), tmp_path, **{"optimizer.lr": 0.02})
    assert values["model"] == {"name": "mlp", "hidden": [24]}
    assert values["optimizer"] == {"name": "adam", "lr": 0.02, "eps": 1e-5}
    assert values["training"] == {"epochs": 1, "max_grad_norm": 1.0}

    values = written(
        plan({"objective": {"name": "z_loss", "a": 0.5}}), tmp_path, **{"optimizer.lr": 0.02}
    )
    assert values["objective"] == {"name": "z_loss", "a": 0.5}


def test_the_job_can_be_run(tmp_path: Path) -> None:
    values = written(plan(WIDER), tmp_path, **{"optimizer.lr": 0.05})
    values |= {"cluster": {"workers": 0}, "storage": str(tmp_path), "tracking": {"enabled": False}}
    result = trainwright.run(values)
    assert result.status == "finished"
    record = yaml.safe_load((Path(result.storage) / "job.yaml").read_text())
    assert record["model"]["hidden"] == [24, 24]


@pytest.mark.parametrize(
    ("transfer", "path", "message"),
    [
        ({"model.hiden": [24]}, "transfer.model.hiden", "mlp has no option 'hiden'"),
        ({"model.hidden.1": 0}, "transfer.model.hidden.1", "greater than 0"),
        ({"model.hidden.2": 8}, "transfer.model.hidden.2", "only 2 entries"),
        ({"optimizer.lr": 1.0}, "transfer.optimizer.lr", "undo what the sweep finds"),
        ({"optimizer": {"name": "sgd"}}, "transfer.optimizer", "undo what the sweep finds"),
        ({"name": "wide"}, "transfer.name", "named by the sweep"),
        # Each part is good, and the two together are not: found by a pass over real samples.
        ({"model.out_features": 3}, "base.objective", "fails on the first samples"),
    ],
)
def test_what_would_not_run_is_refused_before_the_sweep(
    transfer: dict[str, Any], path: str, message: str
) -> None:
    assert [(p, message in m) for p, m in problems(transfer)] == [(path, True)]


def test_every_option_of_the_space_is_transferred_beforehand() -> None:
    space = {"strategies": {"choice": [[], ["mup"]]}}
    (problem,) = problems({"model": {"name": "mlp", "hidden": [8], "batch_norm": 1}}, space)[:1]
    assert problem[0].startswith("transfer.model")
    # Without the strategy there is none whose option could be changed.
    found = problems({"strategies.0.gain": 1.0}, space)
    assert found == [("transfer.strategies.0", "strategies is an empty list")]


def test_the_transfer_does_not_change_the_sweep() -> None:
    assert plan(WIDER).name == plan({"model.hidden": [32, 32]}).name == plan({}).name
