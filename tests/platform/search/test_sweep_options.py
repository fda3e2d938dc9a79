"""What a sweep's own options may be: each mistake one problem, with its place and what mends it."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.search.plan import Plan, make_plan

BASE: dict[str, Any] = {
    "data": {"source": {"name": "digits", "step": 20}, "validation": 0.4},
    "model": "mlp",
    "objective": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "metrics": ["accuracy"],
    "training": {"epochs": 4},
}
RATE: dict[str, Any] = {"optimizer.lr": {"loguniform": [0.001, 1]}}
GRID: dict[str, Any] = {"optimizer.lr": {"grid": [0.1, 0.2]}}


def plan(**changes: Any) -> Plan:
    base = {**BASE, **changes.pop("base", {})}
    values = {"kind": "sweep", "name": "s", "base": base, "space": RATE, "trials": 3}
    return make_plan(Job.from_dict({**values, "metric": "validation/accuracy", **changes}))


CASES: dict[str, tuple[dict[str, Any], str, str | None, str]] = {
    "algorithm": ({"algorithm": "tpr"}, "algorithm", "tpe", "none of the allowed values"),
    "option": (
        {"algorithm": {"name": "tpe", "startup_trial": 3}},
        "algorithm.startup_trial",
        "startup_trials",
        "no key 'startup_trial'",
    ),
    "option of another": (
        {"algorithm": {"name": "random", "candidates": 3}},
        "algorithm.candidates",
        None,
        "no key",
    ),
    "scheduler": ({"scheduler": {"name": "ahsa"}}, "scheduler.name", "asha", "none of"),
    "its option": (
        {"scheduler": {"name": "median", "min_trails": 3}},
        "scheduler.min_trails",
        "min_trials",
        "no key",
    ),
    "a bare number": ({"scheduler": {"name": "asha", "grace": 1}}, "scheduler.grace", None, "unit"),
    "reduction": (
        {"scheduler": {"name": "asha", "reduction": 1}},
        "scheduler.reduction",
        None,
        "out of range",
    ),
    "quantile": (
        {"scheduler": {"name": "pbt", "quantile": 0.7}},
        "scheduler.quantile",
        None,
        "out of range",
    ),
    "metric": (
        {"metric": "validation/acuracy"},
        "metric",
        "validation/accuracy",
        "no trial will record",
    ),
    "one of several": (
        {"metric": ["validation/accuracy", "paramters"]},
        "metric.1",
        "parameters",
        "no trial will record",
    ),
    "no goal": (
        {"metric": "train/moved"},
        "metric.goal",
        None,
        "nobody says whether more of it is better",
    ),
    "goal": (
        {"metric": {"name": "validation/accuracy", "goal": "maximum"}},
        "metric.goal",
        "max",
        "none of the allowed values",
    ),
    "twice": (
        {"metric": ["validation/accuracy", "validation/accuracy"]},
        "metric.1",
        None,
        "named twice",
    ),
    "no trials": ({"trials": 0}, "trials", None, "out of range"),
    "tpe over a grid": (
        {"algorithm": "tpe", "space": GRID},
        "space.optimizer.lr",
        None,
        "tpe decides itself",
    ),
    "grid over a line": ({"algorithm": "grid"}, "space.optimizer.lr", None, "no end of values"),
    "judged by its size": (
        {"scheduler": "asha", "metric": ["parameters", "validation/loss"]},
        "metric.0",
        None,
        "nothing that evaluations give",
    ),
    "judged by training": (
        {"scheduler": "median", "metric": "train/loss"},
        "metric",
        None,
        "nothing that evaluations give",
    ),
    "grace too long": (
        {"scheduler": {"name": "asha", "grace": "4 epochs"}},
        "scheduler.grace",
        None,
        "training ends after 4 epochs",
    ),
    "population of a model's form": (
        {"scheduler": "pbt", "space": {**RATE, "model.hidden": {"choice": [[3], [4]]}}},
        "space.model.hidden",
        None,
        "cannot change between two checkpoints",
    ),
    "population of optimizers": (
        {"scheduler": "pbt", "space": {"optimizer": {"choice": ["sgd", "adam"]}}},
        "space.optimizer",
        None,
        "all have the same one",
    ),
    "population by tpe": (
        {"scheduler": "pbt", "algorithm": "tpe"},
        "algorithm",
        None,
        "drawn at random",
    ),
    "population of one": ({"scheduler": "pbt", "trials": 1}, "trials", None, "at least two"),
    "population never compared": (
        {"scheduler": {"name": "pbt", "every": "4 epochs"}},
        "scheduler.every",
        None,
        "training ends after",
    ),
    "evaluations beside it": (
        {
            "scheduler": {"name": "pbt", "every": "2 epochs"},
            "base": {"training": {"epochs": 4, "evaluate_every": "3 epochs"}},
        },
        "base.training.evaluate_every",
        None,
        "every 2 epochs, which is no multiple of it",
    ),
    "checkpoints in another unit": (
        {
            "scheduler": {"name": "pbt", "every": "1 epoch"},
            "base": {"training": {"epochs": 4, "checkpoint_every": "10 steps"}},
        },
        "base.training.checkpoint_every",
        None,
        "no multiple of it",
    ),
}


@pytest.mark.parametrize(("changes", "path", "near", "message"), CASES.values(), ids=CASES.keys())
def test_a_mistake(changes: dict[str, Any], path: str, near: str | None, message: str) -> None:
    with pytest.raises(InputError) as caught:
        plan(**changes)
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest) == (path, near)
    assert message in problem.message


def test_members_evaluate_and_write_checkpoints_when_they_are_compared() -> None:
    found = plan(scheduler={"name": "pbt", "every": "2 epochs"}).example.job.spec.training
    assert str(found.evaluate_every) == str(found.checkpoint_every) == "2 epochs"
    assert found.keep.last > 10**5, "the sweep removes them itself"
    often = {"epochs": 4, "evaluate_every": "0.5 epochs", "keep": {"last": 1}}
    found = plan(
        scheduler={"name": "pbt", "every": "1.5 epochs"}, base={"training": often}
    ).example.job.spec.training
    assert (str(found.evaluate_every), str(found.checkpoint_every)) == ("0.5 epochs", "1.5 epochs")
    assert found.keep.last > 10**5
    assert plan().example.job.spec.training.keep.last == 2


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"trials": None}, 20),
        ({"trials": 7}, 7),
        ({"trials": 7, "space": {**RATE, "seed": {"grid": [0, 1, 2]}}}, 21),
        ({"trials": None, "space": GRID}, 2),
        ({"trials": None, "algorithm": "grid", "space": {"seed": {"int": [1, 40]}}}, 40),
        ({"trials": 5, "algorithm": "grid", "space": {"seed": {"int": [1, 40]}}}, 5),
        ({"trials": None, "algorithm": "tpe", "space": {"seed": {"int": [1, 4]}}}, 4),
    ],
    ids=[
        "20",
        "said",
        "crossed",
        "all of a grid",
        "the whole grid",
        "a part of it",
        "a small space",
    ],
)
def test_how_many_trials_there_are(changes: dict[str, Any], wanted: int) -> None:
    assert plan(**changes).total_trials == wanted
