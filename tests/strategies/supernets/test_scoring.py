"""Paths with inherited weights: running statistics, the weights alone, latency."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import trainwright
from trainwright.orchestration.exporting import named_checkpoint
from trainwright.procedure import TrainedRun
from trainwright.storage import Folder
from trainwright_strategies.supernets.scoring import Bench, Scorer

PATH, OTHER = (3, 1, 2, 1, 3, 1), (3, 3, 3, 3, 3, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    storage = tmp_path_factory.mktemp("cells")
    result = trainwright.run(
        {
            "name": "cells",
            "data": {"source": "digits", "batch_size": 64, "validation": 0.3},
            "model": {
                "name": "cell_supernet",
                "channels": 2,
                "cells": 1,
                "track_running_stats": True,
            },
            "objective": "cross_entropy",
            "strategies": ["uniform_path_sampling"],
            "optimizer": {"name": "adam", "lr": 0.01},
            "training": {"epochs": 1},
            "metrics": ["accuracy"],
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
            "storage": str(storage),
        }
    )
    folder, record, checkpoint = named_checkpoint(Folder(str(storage)), result.run)
    return TrainedRun(record.name, folder.url, checkpoint.name)


def bench(run: TrainedRun, recalibrate: int) -> Bench:
    return Bench(Scorer(run, "accuracy", 1, "validation", recalibrate))


def test_running_statistics_are_taken_anew_for_each_path(run: TrainedRun) -> None:
    calibrated = bench(run, recalibrate=1)
    calibrated.set(OTHER)
    alone, twin = calibrated.inherited(PATH), calibrated.inherited(PATH).train()
    batch = next(run.batches("train"))["image"]
    with torch.no_grad():
        wanted = twin(batch)["logits"]
        found = alone(batch)["logits"]
        mixed = bench(run, recalibrate=0).inherited(PATH)(batch)["logits"]
    # With one batch the statistics are that batch's, but for the unbiased variance.
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0.05)
    assert not torch.allclose(mixed, wanted, atol=0.05, rtol=0.05)
    assert calibrated.score(PATH) == run.evaluate("validation", alone)["accuracy"]


def test_inherited_weights_must_fit(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    wider = run.untrained({"channels": 3, "path": list(PATH)})
    monkeypatch.setattr(TrainedRun, "untrained", lambda run, options: wider)
    with pytest.raises(ValueError, match=r"other weights than the supernet: stem\.0\.weight"):
        bench(run, recalibrate=0).inherited(PATH)


def test_a_nan_is_the_worst_score(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainedRun, "evaluate", lambda *_: {"accuracy": float("nan")})
    assert bench(run, recalibrate=0).score(PATH) == float("-inf")


def test_latency_is_that_of_the_path(run: TrainedRun) -> None:
    one = bench(run, recalibrate=8)
    used: list[tuple[Any, int]] = []
    forward: Any = one.supernet.forward  # type: ignore[attr-defined]

    def noting(x: Any) -> Any:
        used.append((one.supernet.path, len(x)))
        return forward(x)

    one.supernet.forward = noting  # type: ignore[attr-defined]
    batch = next(run.batches("validation", 5))
    assert one.latency_ms(PATH, batch, repeats=4) > 0
    assert used == [(PATH, 5)] * 7, "three to warm up"
