"""Journals of short runs."""

from __future__ import annotations

from typing import Any

from trainwright.storage import Folder
from trainwright.tracking import (
    JournalWriter,
    continue_lineage,
)


def write_steps(folder: Folder, attempt: int, steps: range, **options: Any) -> None:
    """Rows of an attempt; ``salt`` makes values that differ between attempts."""
    lineage = continue_lineage(folder, *options["past"]) if "past" in options else []
    with JournalWriter(folder, attempt, lineage, 1) as journal:
        for step in steps:
            journal.metrics(step, {"train/loss": 1 / step, "odd": step + options.get("salt", 0.0)})
