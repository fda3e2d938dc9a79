"""Best rates and their drift by hand, and a grid of real runs, one of which diverges."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trainwright
from trainwright_strategies.lr_transfer_curve import (
    LrTransferCurve,
    best_rate,
    drift,
    num_at_edge,
)


def test_the_best_rate() -> None:
    assert best_rate({1.0: 0.5, 0.5: 0.1, 2.0: 0.7}) == 0.5
    assert best_rate({2.0: 0.1, 1.0: 0.1}) == 1.0
    assert best_rate({1.0: math.nan, 2.0: 5.0, 4.0: math.inf}) == 2.0


def test_drift_and_edges() -> None:
    curves = {
        512: {0.1: 0.2, 0.2: 0.3, 0.4: 0.4, 0.8: math.nan},
        64: {0.1: 0.5, 0.2: 0.4, 0.4: 0.3, 0.8: 0.6},
        128: {0.1: 0.5, 0.2: 0.4, 0.4: 0.5, 0.8: 0.1},
    }
    assert drift(curves) == pytest.approx(-2.0)
    assert num_at_edge(curves) == 2


def training(width: int, rate: float, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "data": {
            "source": {"name": "synthetic_regression", "num_samples": 20, "num_features": 3},
            "batch_size": 20,
        },
        "model": {"name": "mlp", "hidden": [2, width]},
        "objective": "mse",
        "optimizer": {"name": "sgd", "lr": rate},
        "training": {"steps": 3},
    }


@pytest.mark.slow
def test_a_grid_of_trainings(tmp_path: Path) -> None:
    rates = (0.001, 0.05, 1e30)
    places = [(width, rate, seed) for width in (2, 4) for rate in rates for seed in (0, 1)]
    measured = trainwright.run(
        {
            "kind": "procedure",
            "name": "curve",
            "procedure": {"name": "lr_transfer_curve", "size": "model.hidden"},
            "runs": {f"run{i}": training(*place) for i, place in enumerate(places)},
            "storage": str(tmp_path),
            "tracking": {"enabled": False},
        }
    )
    for size in (2, 4):
        assert measured.metrics[f"log2_rate/{size}"] == pytest.approx(math.log2(0.05))
        assert 0 < measured.metrics[f"loss/{size}"] < 10
    assert measured.metrics["drift"] == measured.metrics["num_at_edge"] == 0
    figure = Path(measured.storage) / "figures" / "curves-00000000.png"
    assert figure.read_bytes().startswith(b"\x89PNG")


def given(*places: Any) -> Any:
    """Inputs with a run for each hidden width and rate, with its loss behind them."""

    def run(index: int, hidden: Any, rate: Any, loss: float = 0.0) -> Any:
        values = {"model": {"hidden": hidden}, "optimizer": {"lr": rate}}
        return SimpleNamespace(
            name=f"run{index}",
            job=SimpleNamespace(model_dump=lambda mode: values),
            evaluate=lambda split: {"loss": loss if split == "train" else -1.0},
        )

    return SimpleNamespace(
        runs={i: run(i, *place) for i, place in enumerate(places)},
        map=lambda function, items, name: [function(item) for item in items],
        folder=SimpleNamespace(write_json=lambda name, values: written.update({name: values})),
        log_figure=lambda name, figure: written.update({name: figure}),
    )


written: dict[str, Any] = {}


def test_losses_are_means_over_the_runs_of_a_place() -> None:
    losses = {(16, 0.1): [3.0, 5.0], (16, 0.2): [1.0, 6.0], (16, 0.4): [math.nan, 1.0]}
    losses |= {(8, 0.1): [2.0], (8, 0.2): [1.0], (8, 0.4): [0.5]}
    runs = [([4, n], rate, loss) for (n, rate), each in losses.items() for loss in each]
    found = LrTransferCurve("model.hidden").run(given(*runs))
    assert found == {
        "drift": pytest.approx(-1.0),
        "num_at_edge": 1.0,
        "log2_rate/8": pytest.approx(math.log2(0.4)),
        "log2_rate/16": pytest.approx(math.log2(0.2)),
        "loss/8": 0.5,
        "loss/16": 3.5,
    }
    assert written["curves.json"]["8"] == [(0.1, 2.0), (0.2, 1.0), (0.4, 0.5)]
    assert written["curves.json"]["16"][:2] == [(0.1, 4.0), (0.2, 3.5)]
    assert len(written["curves"].axes[0].lines) == 4


GRID = [([8], 0.1), ([8], 0.2), ([8], 0.4), ([16], 0.1), ([16], 0.2), ([16], 0.4)]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (GRID[:3], r"at least two sizes and three rates, got sizes \[8\]"),
        ([GRID[0], GRID[1], GRID[3], GRID[4]], r"three rates, got .* rates \[0\.1, 0\.2\]"),
        (GRID[:5], "there is no run of 16 at 0.4"),
        ([*GRID, (None, 0.1)], "run6 gives no number as model.hidden"),
        ([*GRID, ([], 0.1)], "run6 gives no number as model.hidden"),
        ([*GRID, ([8], True)], "run6 gives no number as optimizer.lr"),
    ],
)
def test_runs_that_are_no_grid(places: Any, message: str) -> None:
    LrTransferCurve("model.hidden").check(given(*GRID))
    with pytest.raises(ValueError, match=message):
        LrTransferCurve("model.hidden").check(given(*places))


def test_unknown_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="split must be train, validation or test, got 'all'"):
        LrTransferCurve("model.dim", split="all")  # type: ignore[arg-type]
