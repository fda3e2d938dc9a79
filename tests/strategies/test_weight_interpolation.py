"""weight_interpolation: ends equal the runs, a quadratic along the line, a barrier by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainwright
from trainwright_strategies.weight_interpolation import WeightInterpolation, barrier, between

TRAIN: dict[str, Any] = {
    "data": {
        "source": {"name": "synthetic_regression", "num_samples": 90, "num_features": 5},
        "batch_size": 30,
        "validation": 0.3,
    },
    "model": {"name": "mlp", "hidden": []},
    "objective": "mse",
    "optimizer": {"name": "sgd", "lr": 0.02},
    "training": {"epochs": 2},
    "metrics": ["mean_absolute_error"],
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two linear least-squares fits of different seeds, and a wider model."""
    place = tmp_path_factory.mktemp("line") / "runs"
    for seed, name in enumerate(("first", "second")):
        trainwright.run({**TRAIN, "name": name, "seed": seed, "storage": str(place)})
    wide = {**TRAIN, "model": {"name": "mlp", "hidden": [4]}}
    trainwright.run({**wide, "name": "wide", "storage": str(place)})
    return place


def job(storage: Path, second: str = "second", **options: Any) -> dict[str, Any]:
    return {
        "kind": "procedure",
        "name": "line",
        "procedure": {"name": "weight_interpolation", **options},
        "runs": {"first": "first", "second": second},
        "storage": str(storage),
        "tracking": {"enabled": False},
    }


@pytest.fixture(scope="module")
def measured(storage: Path) -> Any:
    return trainwright.run(job(storage, points=9, margin=0.25, splits=["train", "validation"]))


def line_of(result: Any) -> tuple[list[float], list[dict[str, float]]]:
    found = json.loads((Path(result.storage) / "artifacts" / "line.json").read_text())
    return found["shares"], found["measured"]


def test_the_ends_are_the_runs(measured: Any, storage: Path) -> None:
    shares, points = line_of(measured)
    for end, run in ((0.0, "first"), (1.0, "second")):
        wanted = trainwright.evaluate(run, storage=storage).metrics
        found = points[shares.index(end)]
        assert {name: found[name] for name in wanted} == wanted
    assert measured.metrics["validation/loss_first"] == points[shares.index(0.0)]["validation/loss"]


def test_least_squares_are_a_parabola_without_a_barrier(measured: Any) -> None:
    shares, points = line_of(measured)
    assert shares[0] == -0.25
    assert shares[-1] == 1.25
    for split in ("train", "validation"):
        losses = np.array([point[f"{split}/loss"] for point in points])
        three = [0, len(shares) // 2, -1]
        parabola = np.polyfit(np.array(shares)[three], losses[three], 2)
        assert parabola[0] > 1e-4
        np.testing.assert_allclose(np.polyval(parabola, shares), losses, rtol=2e-5)
        assert measured.metrics[f"{split}/barrier"] == 0.0, "a convex loss lies below its chord"


def test_what_it_leaves(measured: Any) -> None:
    folder = Path(measured.storage)
    assert (folder / "figures" / "line-00000000.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((folder / "steps").iterdir())) == measured.steps == 13


def test_samples_of_the_job_go_before_those_of_the_run(storage: Path) -> None:
    data = {**TRAIN["data"], "source": {**TRAIN["data"]["source"], "seed": 9}}
    result = trainwright.run({**job(storage, points=3), "data": data})
    shares, points = line_of(result)
    own = trainwright.evaluate("first", storage=storage).metrics["validation/loss"]
    assert points[shares.index(0.0)]["validation/loss"] != own


def test_barrier_is_the_largest_rise_above_the_chord() -> None:
    shares = [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5]
    assert barrier(shares, [9.0, 1.0, 2.0, 2.5, 4.0, 3.0, 9.0]) == (1.5, 0.75)
    assert barrier(shares, [9.0, 1.0, 0.0, 0.0, 0.0, 3.0, 9.0])[0] == 0.0


def test_between_is_exact_at_both_ends() -> None:
    seed = torch.Generator().manual_seed(0)
    one = {"w": torch.randn(50, generator=seed), "n": torch.tensor(3)}
    other = {"w": torch.randn(50, generator=seed) * 1e6, "n": torch.tensor(7)}
    assert all(between(one, other, 0.0)[name].equal(one[name]) for name in one)
    assert all(between(one, other, 1.0)[name].equal(other[name]) for name in one)
    middle = between(one, other, 0.5)
    torch.testing.assert_close(middle["w"], (one["w"] + other["w"]) / 2)


def test_other_weights_are_refused_by_name(storage: Path) -> None:
    with pytest.raises(trainwright.InputError, match=r"first and second have other weights.*model"):
        trainwright.validate(job(storage, second="wide"))


@pytest.mark.parametrize("options", [{"points": 2}, {"margin": -1.0}, {"splits": ["trian"]}])
def test_options_out_of_range(options: dict[str, Any], storage: Path) -> None:
    with pytest.raises(trainwright.InputError):
        trainwright.validate(job(storage, **options))
    if options == {"splits": ["trian"]}:
        return
    with pytest.raises(ValueError, match="splits"):
        WeightInterpolation(splits=[])
