"""Mistakes in what a sweep tries: all of them at once, each at its own line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainwright.errors import MISSING, InputError
from trainwright.job import Job
from trainwright.search.plan import make_plan

HEAD = """\
kind: sweep
name: s
base: {data: {source: digits, validation: 0.2}, model: mlp, objective: mse, optimizer: sgd}
metric: validation/loss
space:
"""


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (
            """\
  objective:
    choice:
      - cross_entropy
      - name: z_los
      - name: z_loss
        aa: {uniform: [0, 1]}
  optimizer.lrr: {loguniform: [0.1, 1.0]}
""",
            [
                (9, "objective.name", "z_loss"),
                (11, "objective.aa", "a"),
                (12, "optimizer.lrr", "lr"),
            ],
        ),
        (
            """\
  training.epochs:
    choice:
      - 1
      - -2
  trainin.steps: {int: [1, 2]}
""",
            [(9, "training.epochs", None), (10, "trainin", "training")],
        ),
        ("  model.hidden: {logunifrom: [1, 2]}\n", [(6, "model.hidden.logunifrom", "loguniform")]),
    ],
    ids=["plugins", "form", "domains"],
)
def test_they_are_told_where_they_stand(
    tmp_path: Path, space: str, told: list[tuple[int, str, str | None]]
) -> None:
    (tmp_path / "s.yaml").write_text(HEAD + space)
    with pytest.raises(InputError) as caught:
        make_plan(Job.load(tmp_path / "s.yaml"))
    found = [(p.location and p.location.line, p.path, p.nearest) for p in caught.value.problems]
    assert found == [(line, f"space.{path}", near) for line, path, near in told]


GOOD = {
    "kind": "sweep",
    "name": "s",
    "base": {"data": {"source": "digits"}, "model": "mlp", "objective": "mse"},
    "space": {"optimizer.lr": {"uniform": [0, 1]}},
}


@pytest.mark.parametrize(
    ("section", "value", "path", "got", "allowed", "near"),
    [
        ("algorithm", "tpee", "algorithm", "tpee", "grid, random, tpe", "tpe"),
        ("algorithm", 5, "algorithm", 5, "grid, random, tpe", None),
        ("algorithm", {"candidates": 3}, "algorithm.name", MISSING, "grid, random, tpe", None),
        ("scheduler", {"name": "Asha"}, "scheduler.name", "Asha", "asha, median, pbt", "asha"),
        (
            "scheduler",
            {"name": "pbt", "evry": "1 epoch"},
            "scheduler.evry",
            MISSING,
            "name, every, quantile, resample, factors",
            "every",
        ),
        (
            "metric",
            {"name": "a/b", "goal": "up"},
            "metric.goal",
            "up",
            "one of min, max or null",
            None,
        ),
        (
            "metric",
            [{"name": "a/b", "att": "last"}],
            "metric.0.att",
            MISSING,
            "name, goal, at",
            "at",
        ),
    ],
)
def test_a_section_of_several_forms_is_told_by_its_name(
    section: str, value: Any, path: str, got: Any, allowed: str, near: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        Job.from_dict({**GOOD, section: value})
    found = [(p.path, p.got, _words(p.allowed), p.nearest) for p in caught.value.problems]
    assert found == [(path, got, _words(allowed), near)]


def _words(text: str | None) -> list[str]:
    return sorted((text or "").replace(",", "").split())
