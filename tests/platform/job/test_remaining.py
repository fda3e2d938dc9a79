"""Mistakes in the form of a job do not hide those in the options of its plugins."""

from __future__ import annotations

import pytest

from trainwright.errors import JobError
from trainwright.job import Job

GOOD = {
    "name": "x",
    "data": {"source": "digits", "validation": 0.2},
    "model": {"name": "mlp", "hidden": [8]},
    "objective": {"name": "z_loss", "a": 1.0},
    "strategies": ["early_stopping", {"name": "ghost_batch_norm", "ghost_batch_size": 4}],
    "optimizer": {"name": "adamw", "lr": 0.1},
    "training": {"epochs": 1, "monitor": "validation/accuracy"},
    "metrics": ["accuracy"],
}


def told(**sections) -> list[tuple[str, str | None]]:
    with pytest.raises(JobError) as caught:
        Job.from_dict({**GOOD, **sections})
    return [(problem.path, problem.nearest) for problem in caught.value.problems]


def test_form_and_options_are_told_together():
    found = told(
        training={"epoch": 1},
        objective={"name": "z_loss", "aa": 1.0, "weight": "much"},
        optimizer={"name": "adamw", "lrr": 0.1},
        deepspeed={"zero_optimization": {"tsage": 2}},
    )
    assert sorted(found) == [
        ("deepspeed.zero_optimization.tsage", "stage"),
        ("objective.aa", "a"),
        ("objective.weight", None),
        ("optimizer.lrr", "lr"),
        ("training.epoch", "epochs"),
    ]


def test_a_broken_rule_and_an_option_are_told_together():
    found = told(training={"epochs": 1, "steps": 5}, schedule={"name": "cosine", "warmupp": 0.1})
    assert sorted(found) == [("schedule.warmupp", "warmup"), ("training.steps", None)]


def test_places_are_those_of_the_file(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        "name: x\ndata: {source: digits}\nmodl: mlp\n"
        "objective: {name: z_loss,\n  aa: 2}\noptimizer:\n  name: rmspropp\n"
    )
    with pytest.raises(JobError) as caught:
        Job.load(path)
    found = [(p.location.line, p.path, p.nearest) for p in caught.value.problems]
    assert found == [
        (3, "modl", "model"),
        (5, "objective.aa", "a"),
        (7, "optimizer.name", "rmsprop"),
    ]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"metrics": ["accuracy", 3]}, ["metrics.1"]),
        ({"name": None, "data": 3}, ["data", "name"]),
        ({"model": {"nmae": "mlp", "hidden": "many"}}, ["model.nmae"]),
        ({"data": {"source": "flowers/", "format": "parqet"}}, ["data.format"]),
        ({"objective": []}, ["objective"]),
        ({"strategies": [{"nme": "early_stopping"}]}, ["strategies.0.nme"]),
        ({"strategies": 5}, ["strategies"]),
    ],
)
def test_nothing_is_told_that_only_follows(sections, expected):
    assert sorted(path for path, _ in told(**sections)) == expected
