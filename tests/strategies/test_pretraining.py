"""Two phases: the other objective's training, and the job's from where that ended."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.pretraining import Pretraining

CASE = Case("strategies", "pretraining")
OTHER = {"name": "cross_entropy", "options": {"label_smoothing": 0.5}}


def test_the_first_phase_is_training_on_the_other_objective(tmp_path: Any) -> None:
    """Zero rate in the job's own phase: the weights are those of a job with that objective."""
    options = {"objective": OTHER, "epochs": 2, "lr": 0.01}
    job = CASE.job_with(options)
    job["optimizer"] = {"name": "sgd", "lr": 1e-30}
    alone = CASE.job_without(objective=OTHER, optimizer={"name": "sgd", "lr": 0.01})
    alone["training"] = {**alone["training"], "epochs": 2}
    with Rig(tmp_path) as rig:
        found, expected = rig.train(job, Setup()), rig.train(alone, Setup())
    assert found.steps == 6 + 9
    for name, weight in expected.weights().items():
        torch.testing.assert_close(found.weights()[name], weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs must be a whole number of at least 0"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 0"),
        ({"lr": 0.0}, "lr must be None or a number above 0"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pretraining(nn.MSELoss, **options)
