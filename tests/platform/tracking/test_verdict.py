"""The status that MLflow is told of a run whose driver said nothing any more."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from trainwright.runs import SILENCE_S
from trainwright.tracking.verdict import final_status


@pytest.mark.parametrize(
    ("silent_s", "told"), [(0.0, None), (SILENCE_S / 2, None), (SILENCE_S + 60, "KILLED")]
)
def test_a_driver_on_another_machine(run: Any, silent_s: float, told: str | None) -> None:
    record = json.loads((run.path / "run.json").read_text())
    record["driver"]["host"] = "another"
    record["alive"] = time.time() - silent_s
    (run.path / "run.json").write_text(json.dumps(record))
    assert final_status(run.folder) == (told, None)
