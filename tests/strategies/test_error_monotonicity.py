"""error_monotonicity: correlations by scipy, sums of errors, what is told, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import trainwright
from trainwright_strategies.error_monotonicity import ErrorMonotonicity, correlations, ranks

TRAINING: dict[str, Any] = {
    "data": {"source": "digits", "batch_size": 64, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [16, 16, 16]},
    "objective": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 2},
}


def job(storage: Path, **options: Any) -> dict[str, Any]:
    return {
        "kind": "procedure",
        "name": "monotonicity",
        "procedure": {"name": "error_monotonicity", "points": 12, "num_samples": 64, **options},
        "runs": {"model": TRAINING},
        "storage": str(storage),
        "tracking": {"enabled": False},
    }


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monotonicity") / "runs"


def test_ranks_with_ties() -> None:
    assert ranks([5.0, 1.0, 5.0, 2.0, 5.0]).tolist() == [4, 1, 4, 2, 4]


def test_correlations_against_scipy() -> None:
    random = np.random.default_rng(0)
    told = {"a": random.normal(size=30).round(1), "b": random.normal(size=30)}
    outcome = told["a"] ** 3 + random.normal(size=30).round(1)
    found = correlations(
        {name: values.tolist() for name, values in told.items()}, {"kl": outcome.tolist()}
    )
    assert len(found) == 4
    for name, values in told.items():
        spearman = stats.spearmanr(values, outcome).statistic
        assert found[f"spearman/{name}/kl"] == pytest.approx(spearman, rel=1e-10)
        pearson = stats.pearsonr(values, outcome).statistic
        assert found[f"pearson/{name}/kl"] == pytest.approx(pearson, rel=1e-10)


def test_points_with_their_sums_and_what_becomes_of_them(storage: Path) -> None:
    result = trainwright.run(job(storage))
    artifacts = Path(result.storage) / "artifacts"
    told = json.loads((artifacts / "points.json").read_text())
    errors = json.loads((artifacts / "errors.json").read_text())
    assert list(errors) == ["body.0", "body.2", "body.4"]
    for of_level in errors.values():
        # The more is pruned the more is lost.
        assert list(of_level.values()) == sorted(of_level.values())
        assert 0 < of_level["0"] < 1
    assert len({tuple(point) for point in told["points"]}) == 12
    for point, total in zip(told["points"], told["layer_errors"], strict=True):
        assert sum(point) == 0
        levels = zip(errors.values(), point, strict=True)
        assert total == pytest.approx(sum(of_level[str(level)] for of_level, level in levels))
    spearman = stats.spearmanr(told["layer_errors"], told["kl"]).statistic
    assert result.metrics["spearman/layer_errors/kl"] == pytest.approx(spearman)
    pearson = stats.pearsonr(told["fitness"], told["loss"]).statistic
    assert result.metrics["pearson/fitness/loss"] == pytest.approx(pearson)
    # The divergence on training samples tells well that on others.
    assert result.metrics["spearman/fitness/kl"] > 0.8
    again = trainwright.run(job(storage, pieces=4))
    assert again.run != result.run
    assert again.metrics == result.metrics


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compressor": "gptq"}, "compressor must be magnitude or sparsegpt for sparsity"),
        ({"target": 1.0}, "target must be above 0 and below 1 for sparsity, got 1.0"),
        ({"space": "bits", "target": 17.0}, "target must be from 1 to 16 for bits, got 17.0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ErrorMonotonicity(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 2000}, "num_samples asks for 2000 of 1258 samples"),
        ({"units": ["nothing"]}, "name 0 of the model's"),
        ({"points": 2}, "points"),
        ({"space": "drop"}, "space"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(
    options: dict[str, Any], message: str, storage: Path
) -> None:
    trainwright.run(job(storage))
    with pytest.raises(trainwright.InputError, match=message):
        trainwright.validate(job(storage, **options))
