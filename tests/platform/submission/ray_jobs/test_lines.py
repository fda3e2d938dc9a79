"""Whole lines of a text that comes in pieces and from its beginning again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trainwright.submission.ray_jobs.lines import Lines

TEXTS = st.text(alphabet="ab\n\r\u2028", max_size=40)


@given(TEXTS, st.lists(st.tuples(st.integers(0, 60), st.lists(st.integers(0, 60), max_size=5))))
def test_every_line_comes_once_however_often_the_stream_breaks(
    text: str, streams: list[tuple[int, list[int]]]
) -> None:
    lines, came = Lines(), []
    for end, cuts in [*streams, (len(text), [])]:
        lines.restart()
        places = sorted({0, *(cut for cut in cuts if cut < end), end})
        for begin, stop in pairwise(places):
            came += lines.take(text[:end][begin:stop])
    *whole, rest = text.split("\n")
    assert came + lines.end() == [*whole, *([rest] if rest else [])]
