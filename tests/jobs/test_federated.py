"""Every job in jobs/federated that is no comparison: it runs, cut short."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import trainwright

FOLDER = Path(__file__).resolve().parents[2] / "jobs" / "federated"
JOBS = [
    file
    for file in sorted(FOLDER.glob("*.yaml"))
    if yaml.safe_load(file.read_text())["kind"] == "federated"
]
SHORT = ["federation.rounds=2", "cluster.workers=0", "tracking.enabled=false"]


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)
def test_two_rounds(file: Path, tmp_path: Path) -> None:
    result = trainwright.run(file, overrides=[*SHORT, f"storage={tmp_path}"])
    assert result.status == "finished"
    assert 0 < result.metrics["validation/accuracy"] < 1
