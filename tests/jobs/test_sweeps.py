"""Every job in jobs/sweeps: checked whole with examples of its trials; with ``slow`` it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainwright

FOLDER = Path(__file__).resolve().parents[2] / "jobs" / "sweeps"
each_job = pytest.mark.parametrize(
    "file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem
)
SHORT = ["trials=4", "cluster.workers=1", "tracking.enabled=false"]


@each_job
def test_it_would_run(file: Path, tmp_path: Path) -> None:
    found = trainwright.validate(file, overrides=[f"storage={tmp_path}"])
    assert found.run.startswith(file.stem.replace("_", "-"))


@pytest.mark.slow
@each_job
def test_four_trials(file: Path, tmp_path: Path) -> None:
    result = trainwright.run(file, overrides=[*SHORT, f"storage={tmp_path}"])
    assert result.status == "finished"
    assert len(result.trials) == 4
    assert result.best
