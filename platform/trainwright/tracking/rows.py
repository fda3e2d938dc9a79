"""The rows of a run's journal: one JSON object per line, written once and never changed."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any, Literal, TypeAlias, TypedDict, cast


class AttemptRow(TypedDict):
    """First row of an attempt: where it starts and what of earlier attempts is its past.

    ``lineage`` lists ``[attempt, last_step]`` in order: the steps of that attempt up to and
    including ``last_step`` (and after the previous entry's) belong to this attempt's history.
    """

    kind: Literal["attempt"]
    attempt: int
    time: int
    lineage: list[list[int]]
    world_size: int


class MetricsRow(TypedDict):
    """Scalar values of one step; ``time`` in milliseconds since 1970."""

    kind: Literal["metrics"]
    attempt: int
    time: int
    step: int
    values: dict[str, float]


class SamplesRow(TypedDict):
    """The sample ids that one update consumed, in the order of the global batch."""

    kind: Literal["samples"]
    attempt: int
    step: int
    ids: list[int]


class EventRow(TypedDict):
    """Something worth a sentence: a restart, a damaged checkpoint, a lost driver."""

    kind: Literal["event"]
    attempt: int
    time: int
    step: int | None
    message: str


class HistogramRow(TypedDict):
    """The values of one quantity at one step, counted in equal bins from ``low`` to ``high``."""

    kind: Literal["histogram"]
    attempt: int
    time: int
    step: int
    name: str
    low: float
    high: float
    counts: list[int]


class FigureRow(TypedDict):
    """A picture of one step; ``file`` is its name relative to the run folder."""

    kind: Literal["figure"]
    attempt: int
    time: int
    step: int
    name: str
    file: str


Row: TypeAlias = AttemptRow | MetricsRow | SamplesRow | EventRow | HistogramRow | FigureRow

# Kept, for json.dumps makes a new one at every call that asks for something special.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

_PLAIN = frozenset((float, int))
_NUMBERS = (int, float)
_PLACE: dict[str, Any] = {"attempt": int, "time": int, "step": int}
_REQUIRED: dict[str, dict[str, Any]] = {
    "attempt": {"attempt": int, "time": int, "lineage": list, "world_size": int},
    "metrics": {**_PLACE, "values": dict},
    "samples": {"attempt": int, "step": int, "ids": list},
    "event": {**_PLACE, "step": (int, type(None)), "message": str},
    "histogram": {**_PLACE, "name": str, "low": _NUMBERS, "high": _NUMBERS, "counts": list},
    "figure": {**_PLACE, "name": str, "file": str},
}


def encode(row: Row) -> bytes:
    """One line with its line feed.

    Metric values that JSON cannot hold become strings (``"nan"``, ``"inf"``, ``"-inf"``); numbers
    of other libraries become floats.

    Raises:
        TypeError: a value is not a number.
        ValueError: a value is not a number.
    """
    if row["kind"] == "metrics" and not _are_plain(row["values"].values()):
        values = {key: _plain(value) for key, value in row["values"].items()}
        text = _ENCODER.encode({**row, "values": values})
    else:
        text = _ENCODER.encode(row)
    return text.encode() + b"\n"


def decode(line: bytes) -> Row | None:
    """The row of one line, or None when the line is damaged or of a kind not known here."""
    try:
        row = json.loads(line)
        wanted = _REQUIRED[row["kind"]]
        if not all(isinstance(row[name], kind) for name, kind in wanted.items()):
            return None
        if row["kind"] == "attempt":
            row["lineage"] = [[int(past), int(step)] for past, step in row["lineage"]]
        if row["kind"] == "metrics":
            row["values"] = {key: float(value) for key, value in row["values"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
    return cast(Row, row)


def _are_plain(values: Collection[Any]) -> bool:
    return _PLAIN.issuperset(map(type, values)) and all(map(math.isfinite, values))


def _plain(value: Any) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else str(number)
