"""Histograms over all workers, figures, and their way to journal and run folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from trainwright.storage import Folder
from trainwright.strategy import Context
from trainwright.strategy.attachments import NUM_BINS, global_histogram
from trainwright.tracking import JournalWriter, plot_run, read_lineage
from trainwright.tracking.histograms import NUM_ROWS, density


def _values() -> Tensor:
    values = torch.randn(101, generator=torch.Generator().manual_seed(0)).exp()
    values[[5, 70]] = torch.tensor([float("nan"), float("inf")])
    return values


def _share() -> Any:
    import torch.distributed as dist

    own = _values()[:40] if dist.get_rank() == 0 else _values()[40:].reshape(1, -1)
    none = own[:0] if dist.get_rank() == 0 else torch.full((3,), 2.0)
    device = torch.device("cpu")
    return [global_histogram(v, device) for v in (own, none, torch.full((2,), float("nan")))]


def test_counts_are_those_of_all_workers(two_workers: Any) -> None:
    finite = _values()[torch.isfinite(_values())].double().numpy()
    expected, edges = np.histogram(finite, bins=NUM_BINS)
    for whole, constant, nothing in two_workers.run(_share):
        assert whole[:2] == pytest.approx((edges[0], edges[-1]))
        assert whole[2] == expected.tolist()
        assert (constant[0], constant[1], sum(constant[2])) == (1.5, 2.5, 3)
        assert nothing == (0.0, 0.0, [])


def _picture(color: str) -> Image.Image:
    return Image.new("RGB", (4, 3), color)


def test_what_is_logged_reaches_the_run_folder(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    folder, context = Folder(str(tmp_path)), Context(seed=0)
    drawn = Figure(figsize=(2, 1))
    drawn.add_subplot().plot([0, 1])
    with JournalWriter(folder, 1, [], 1) as journal:
        for step in (1, 2):
            context.log_histogram("weights/first", torch.arange(8.0) * step)
            context.log_figure("map", _picture("red" if step == 1 else "blue"))
            context.log_figure("curve", drawn)
            context.attachments.hand_over(journal, step, torch.device("cpu"))
        context.attachments.hand_over(journal, 3, torch.device("cpu"))
    rows = list(read_lineage(folder))
    histograms = [row for row in rows if row["kind"] == "histogram"]
    figures = [row for row in rows if row["kind"] == "figure"]
    assert [(row["name"], row["step"], row["low"], row["high"]) for row in histograms] == [
        ("weights/first", 1, 0.0, 7.0),
        ("weights/first", 2, 0.0, 14.0),
    ]
    assert {(row["name"], row["step"]) for row in figures} == {
        (name, step) for name in ("strategy/map", "strategy/curve") for step in (1, 2)
    }
    stored = tmp_path / "figures" / "strategy-map-00000002.png"
    assert Image.open(stored).getpixel((0, 0)) == (0, 0, 255)
    for row in figures:
        assert Image.open(io.BytesIO(folder.read_bytes(row["file"]))).format == "PNG"
    assert plot_run(folder) == ["figures/weights-first.png"]
    assert Image.open(tmp_path / "figures" / "weights-first.png").size[0] > 500


def test_only_worker_0_draws_and_only_pictures(tmp_path: Path) -> None:
    other = Context(seed=0, rank=1, world_size=2)
    other.log_figure("map", _picture("red"))
    assert other.attachments.figures == {}
    with pytest.raises(TypeError, match="a matplotlib Figure or a PIL Image"):
        Context(seed=0).log_figure("map", torch.zeros(3, 4, 4))


def test_the_picture_shows_the_density() -> None:
    row: Any = {"low": -1.0, "high": 1.0, "counts": [1, 3]}
    heights = density(row, -2.0, 2.0)
    quarter = NUM_ROWS // 4
    assert heights[:quarter].tolist() == [0.0] * quarter
    assert set(heights[quarter : 2 * quarter]) == {0.25}
    assert set(heights[2 * quarter : 3 * quarter]) == {0.75}
    assert heights.sum() * 4.0 / NUM_ROWS == pytest.approx(1.0)


def test_figures_of_steps_taken_back_do_not_count(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 1, [], 1) as first:
        for step in (1, 2, 3):
            first.figure(step, "map", b"old")
            first.histogram(step, "map", 0.0, 1.0, [step])
    with JournalWriter(folder, 2, [[1, 2]], 1) as second:
        for step in (2, 3):
            second.figure(step, "map", b"new")
            second.histogram(step, "map", 0.0, 1.0, [10 * step])
    kept = [row for row in read_lineage(folder) if row["kind"] != "attempt"]
    assert [(r["attempt"], r["step"]) for r in kept if r["kind"] == "figure"] == [
        (1, 1),
        (1, 2),
        (2, 3),
    ]
    assert [r["counts"] for r in kept if r["kind"] == "histogram"] == [[1], [2], [30]]
