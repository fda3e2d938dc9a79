"""Data sections that keep, and that break, the rules on streaming."""

from __future__ import annotations

from typing import Any

COLUMNS = {"x": {"type": "vector"}, "target": {"type": "class", "classes": 10}}
STREAMED: dict[str, Any] = {"source": "a.parquet", "columns": COLUMNS, "streaming": True}
TOKENS = {"type": "tokens", "classes": 9, "length": 4}

KEPT: list[dict[str, Any]] = [
    {"data": STREAMED, "cluster": {"workers": 6}},
    {"data": {**STREAMED, "streaming": {"shards": 10, "window": 10}}, "cluster": {"workers": 5}},
    {"data": {**STREAMED, "streaming": False}, "cluster": {"workers": 7}},
    {"data": {**STREAMED, "columns": {"words": TOKENS}, "validation": 0.1}},
    {"data": {**STREAMED, "validation": {"source": "wine"}}},
]

_FEW = {**STREAMED, "streaming": {"shards": 3}}
_ENDLESS = {"type": "tokens", "classes": 9}

BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("shards_fit_workers", {"data": STREAMED, "cluster": {"workers": 5}}, "data.streaming"),
    (
        "shards_fit_workers",
        {"data": {**STREAMED, "sources": {"more": _FEW}}, "cluster": {"workers": 2}},
        "data.sources.more.streaming.shards",
    ),
    ("streams_are_files", {"data": {"source": "digits", "streaming": True}}, "data.streaming"),
    ("streams_are_files", {"data": {**STREAMED, "source": "a/*.csv"}}, "data.streaming"),
    ("streams_are_files", {"data": {**STREAMED, "format": "csv"}}, "data.streaming"),
    (
        "windows_hold_all_shards",
        {"data": {**STREAMED, "streaming": {"window": 47}}},
        "data.streaming.window",
    ),
    (
        "streamed_columns_say_all",
        {"data": {**STREAMED, "columns": {"y": {"type": "class"}}}},
        "data.columns.y.classes",
    ),
    (
        "streamed_columns_say_all",
        {"data": {**STREAMED, "columns": {"words": _ENDLESS}}},
        "data.columns.words.length",
    ),
    (
        "streamed_columns_say_all",
        {"data": {**STREAMED, "columns": {"bag": {"type": "group"}}}},
        "data.columns.bag.type",
    ),
    (
        "streams_are_not_stratified",
        {"data": {**STREAMED, "validation": {"fraction": 0.2, "stratify": True}}},
        "data.validation.stratify",
    ),
]
"""(rule, sections of the job, where the problem is)."""
