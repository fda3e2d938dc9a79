"""The job that searches an architecture is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainwright

JOB = Path(__file__).parents[2] / "jobs" / "nas" / "search.yaml"


def test_it_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checked = trainwright.validate(JOB, overrides=["tracking.enabled=false"])
    assert "trained first: supernet" in checked.summary
