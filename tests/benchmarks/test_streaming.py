"""The streaming benchmark in a short form."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from streaming import measure


@pytest.mark.parametrize("layout", measure.TABLES)
def test_both_sides_go_through_the_same_rows(layout: str, tmp_path: Path) -> None:
    table = measure.TABLES[layout]
    measure._write(table, tmp_path, 4096)
    ours = list(measure._ours(measure._opened(table, str(tmp_path)), 0))
    dataset = ds.dataset(tmp_path)
    bare, views = list(measure._bare(table, dataset)), list(measure._views(table, dataset))
    assert sum(ours) == sum(bare) == sum(views) == 4096
    assert ours[0] == bare[0] == views[0] == measure.BATCH


@pytest.mark.slow
def test_a_short_form() -> None:
    assert np.isfinite(measure.GOAL)
    before = set(Path(tempfile.gettempdir()).iterdir())
    result = measure.compare("one column of lists of 64", pairs=1, rows=4096)
    assert min(result.ours.median, result.bare.median, result.ray_s.median) > 0
    left = set(Path(tempfile.gettempdir()).iterdir()) - before
    assert not [path for path in left if list(path.glob("part-*.parquet"))]
