"""Mistakes in what a sweep tries: all of them at once, each at its own line."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainwright.errors import InputError
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
