"""Losses that compare views of a global batch, on two workers as in one process."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.testing import Case, Rig, Setup

VIEWS = {
    "data": {
        "transforms": [{"name": "two_views", "transforms": ["gaussian_noise"], "num_further": 1}]
    },
    "model": {
        "name": "two_tower",
        "options": {"query": {"name": "mlp", "hidden": [17]}, "dim": 6},
        "inputs": {"query": "view_1", "document": "view_2", "further": "further_views"},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "recorded"),
    [
        ("contrastive", {"kept_fraction": 0.4}, ["train/loss"]),
        ("groco", {"num_negatives": 4}, ["train/loss", "train/groco/gap"]),
    ],
)
def test_two_workers_train_as_one_process(
    name: str, options: dict[str, Any], recorded: list[str], two_workers: Any, tmp_path: Any
) -> None:
    job = Case("objectives", name, options, VIEWS).job_with(options)
    with Rig(tmp_path, {2: two_workers}) as rig:
        alone = rig.train(job, Setup())
        for stage in (0, 3):
            together = rig.train(job, Setup("deepspeed", stage, 2))
            for quantity in recorded:
                assert len(alone.curve(quantity)) == 9
                assert together.curve(quantity) == pytest.approx(
                    alone.curve(quantity), rel=1e-4, abs=1e-6
                ), stage
