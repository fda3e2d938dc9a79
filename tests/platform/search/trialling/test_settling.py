"""What is left of trials: records that say how they ended, no checkpoints of stopped ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainwright.runs import RunRecord
from trainwright.search.settling import settle
from trainwright.search.trials import Segment, State, Trial
from trainwright.storage import Folder


def run_in(storage: Folder, name: str, status: str) -> Folder:
    folder = storage / name
    RunRecord(name, status=status, parent="p", seconds=4.0, weights=7).save(folder)  # type: ignore[arg-type]
    folder.write_bytes("checkpoints/step-5/manifest.json", b"{}")
    return folder


@pytest.mark.parametrize(
    ("state", "before", "after", "is_kept"),
    [
        ("finished", "finished", "finished", True),
        ("stopped", "interrupted", "interrupted", False),
        ("stopped", "running", "interrupted", False),
        ("interrupted", "running", "interrupted", True),
        ("failed", "running", "failed", True),
        ("failed", "failed", "failed", True),
    ],
)
def test_a_trial(tmp_path: Path, state: State, before: str, after: str, is_kept: bool) -> None:
    storage = Folder(str(tmp_path))
    folder = run_in(storage, "r", before)
    trial = Trial(0, {}, state=state, run="r", error="lost" if state == "failed" else None)
    settle([trial], storage)
    record = RunRecord.load(folder)
    assert record is not None
    assert record.status == after
    assert folder.exists("checkpoints") == is_kept
    assert (trial.seconds, trial.weights) == ((4.0, 7) if state == "stopped" else (0.0, 0))


def test_every_part_of_a_member_of_a_population(tmp_path: Path) -> None:
    storage = Folder(str(tmp_path))
    folders = [run_in(storage, name, "running") for name in ("a", "b")]
    segments = [Segment(name, {}) for name in ("a", "b")]
    settle([Trial(0, {}, state="interrupted", run="b", segments=segments)], storage)
    records = [RunRecord.load(folder) for folder in folders]
    assert [record.status for record in records if record] == ["interrupted"] * 2


def test_a_run_that_never_began(tmp_path: Path) -> None:
    settle([Trial(0, {}, state="failed", run="gone"), Trial(1, {})], Folder(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
