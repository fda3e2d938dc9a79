"""A run whose journal a shipper sends, and what the database has of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from trainwright.tracking import (
    JournalWriter,
)

Wait = Callable[..., None]


def losses(database: Any, run_id: str) -> list[tuple[int, float]]:
    sql = "select step, value from metrics where run_uuid = ? and key = 'train/loss' order by step"
    return database.query(sql, run_id)


def expected(steps: range) -> list[tuple[int, float]]:
    return [(step, 1 / step) for step in steps]


def train(journal: JournalWriter, steps: range, pause_s: float = 0.0) -> None:
    for step in steps:
        journal.metrics(step, {"train/loss": 1 / step})
        time.sleep(pause_s)


def status(database: Any, run_id: str) -> str:
    return str(database.query("select status from runs where run_uuid = ?", run_id)[0][0])
