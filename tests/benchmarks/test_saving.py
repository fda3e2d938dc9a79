"""The benchmark of checkpoints in a short form."""

from __future__ import annotations

import saving


def test_a_short_form() -> None:
    result = saving.compare("local", pairs=2, width=40)
    assert result.ratio.pairs == 2
    assert 0 < result.ratio.low <= result.ratio.median <= result.ratio.high
    assert result.size_bytes > 4 * 40 * 40 * 4 * 3
    assert 0 < result.pause.median < result.writing.median
