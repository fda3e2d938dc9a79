"""Rows survive encoding exactly; damaged lines are recognised."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.tracking.rows import MetricsRow, decode, encode


def metrics(values: dict[str, float]) -> MetricsRow:
    return MetricsRow(kind="metrics", attempt=1, time=5, step=3, values=values)


@given(st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False), max_size=4))
def test_values_come_back_bit_for_bit(values: dict[str, float]) -> None:
    line = encode(metrics(values))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == metrics(values)


def test_nan_and_infinity_are_standard_json() -> None:
    line = encode(metrics({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.5}))
    assert json.loads(line)["values"] == {"a": "nan", "b": "inf", "c": "-inf", "d": 1.5}
    row = decode(line)
    assert row is not None
    assert row["kind"] == "metrics"
    assert math.isnan(row["values"]["a"])
    assert [row["values"][key] for key in "bcd"] == [math.inf, -math.inf, 1.5]


def test_numbers_of_other_libraries_become_floats() -> None:
    row = decode(encode(metrics({"a": np.float32(0.5), "b": np.float64(0.1), "c": np.int64(3)})))  # type: ignore[dict-item]
    assert row is not None
    assert row["kind"] == "metrics"
    assert row["values"] == {"a": 0.5, "b": 0.1, "c": 3.0}


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(metrics({"a": "high"}))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\0\0\0\0",
        b"3",
        b"[]",
        b'{"kind":"metrics"}',
        b'{"kind":"later","attempt":1}',
        b'{"kind":["metrics"]}',
        b'{"kind":"metrics","attempt":1,"time":1,"step":1,"values":{"a":"high"}}',
        b'{"kind":"metrics","attempt":1,"time":1,"step":1,"values":null}',
        b"\xff\xfe",
    ],
)
def test_damaged_lines_are_none(line: bytes) -> None:
    assert decode(line) is None
