"""Plots are drawn from the surviving lineage, for the metrics that exist."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.image
import numpy as np

from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, plot_run
from trainwright.tracking.plots import MAX_POINTS, Curve, read_curves


def test_an_empty_run_has_no_plots(tmp_path: Path) -> None:
    assert plot_run(Folder(str(tmp_path))) == []


def test_each_metric_gets_its_picture(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "run"))
    with JournalWriter(folder, 1, [], 1) as journal:
        for step in range(1, 101):
            journal.metrics(step, {"train/loss": 3 / step, "train/lr": 0.1, "system/cpu": 3.0})
            if step % 25 == 0:
                values = {"validation/loss": 4 / step, "validation/top 5/a": step / 100}
                journal.metrics(step, {**values, "validation/nothing": math.nan})
    names = plot_run(folder)
    assert names == ["plots/loss.png", "plots/validation-top-5-a.png", "plots/learning-rate.png"]
    for name in names:
        picture = matplotlib.image.imread(tmp_path / "run" / name)
        assert picture.shape[0] > 400
        assert picture.shape[1] > 700
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 10


def test_only_the_surviving_lineage_is_drawn(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 1, [], 1) as journal:
        for step in range(1, 11):
            journal.metrics(step, {"a": 1.0})
    with JournalWriter(folder, 2, [[1, 4]], 1) as journal:
        for step in range(5, 8):
            journal.metrics(step, {"a": 2.0})
        journal.metrics(8, {"a": math.inf})
    curve = read_curves(folder)["a"]
    assert curve.steps == [1, 2, 3, 4, 5, 6, 7]
    assert curve.values == [1.0] * 4 + [2.0] * 3


def test_smoothing_is_a_mean_over_neighbours() -> None:
    values = [float(v) for v in np.random.default_rng(0).normal(size=400)]
    smooth = Curve(list(range(400)), values).smoothed().values
    for index in (0, 1, 3, 200, 399):
        window = values[max(0, index - 5) : index + 6]
        assert math.isclose(smooth[index], sum(window) / len(window), abs_tol=1e-12)


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    steps = list(range(1, 50_001))
    thin = Curve(steps, [float(step) for step in steps]).thinned()
    assert len(thin.steps) <= MAX_POINTS
    assert thin.steps[-1] == 50_000
    assert thin.values[-1] == 50_000.0
