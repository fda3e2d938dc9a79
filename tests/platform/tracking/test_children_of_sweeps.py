"""A sweep in MLflow: one parent with its curve, files and pictures, its trials as children."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainwright.runs import JOB, RESOLVED, RunRecord
from trainwright.search.goals import Goal, Judge
from trainwright.search.journal import SweepJournal
from trainwright.search.plots.kept import plot_kept
from trainwright.search.trials import Segment, Trial, labels_of
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, read_lineage, sync
from trainwright.tracking.family import CHILDREN

JUDGE = Judge((Goal("validation/accuracy", highest=True),))
JOB_VALUES = {
    "kind": "sweep",
    "name": "rates",
    "space": {"optimizer.lr": {"loguniform": [0.01, 1.0]}},
    "metric": {"name": "validation/accuracy", "goal": None, "at": "last"},
    "tracking": {"enabled": True},
}


def trials() -> list[Trial]:
    values = [0.5, 0.9, None, 0.7, 0.8]
    return [
        Trial(
            n,
            {"optimizer.lr": 0.1 * (n + 1)},
            "stopped" if value is None else "finished",
            f"rates-trial-{n}",
            metrics={} if value is None else {"validation/accuracy": value},
        )
        for n, value in enumerate(values)
    ]


def curve(folder: Folder) -> dict[int, float]:
    rows = [row for row in read_lineage(folder) if row["kind"] == "metrics"]
    return {row["step"]: row["values"]["best/validation/accuracy"] for row in rows}


def sweep(storage: Folder) -> Folder:
    """A finished sweep, as its driver leaves it."""
    folder = storage / "rates-0"
    RunRecord("rates-0", "finished", unit="trials").save(folder)
    folder.write_json(RESOLVED, JOB_VALUES)
    folder.write_bytes(JOB, b"kind: sweep\n")
    folder.write_json(CHILDREN, labels_of(trials()))
    for name in ("best.yaml", "trials.csv", "front/001.yaml"):
        folder.write_bytes(name, name.encode())
    folder.write_json("sweep.json", {"goals": {"validation/accuracy": "max"}, "best": [1]})
    for trial in trials():
        trial.save(folder)
        assert trial.run is not None
        status = "finished" if trial.state == "finished" else "interrupted"
        RunRecord(trial.run, status, parent="rates-0").save(storage / trial.run)  # type: ignore[arg-type]
        job = {"optimizer": trial.assignment, "tracking": {"enabled": True}}
        (storage / trial.run).write_json(RESOLVED, job)
        with JournalWriter(storage / trial.run, 1, [], 1) as writer:
            writer.metrics(1, {"validation/accuracy": 0.1})
    with SweepJournal(JUDGE, folder) as journal:
        journal.follow(trials())
    return folder


def test_the_curve_is_over_the_numbers_of_trials_whoever_ended_first(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "rates-0"))
    late = [Trial(n, {}, "running") if n == 1 else t for n, t in enumerate(trials())]
    with SweepJournal(JUDGE, folder) as journal:
        journal.follow(late)
    assert curve(folder) == {0: 0.5}
    with SweepJournal(JUDGE, folder) as journal:  # the sweep was interrupted, and goes on
        journal.follow(late)
        journal.follow(trials())
        journal.follow(trials())
    assert curve(folder) == {0: 0.5, 1: 0.9, 3: 0.9, 4: 0.9}


def test_mlflow_has_the_sweep_and_its_trials(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Folder(str(tmp_path / "runs"))
    folder = sweep(storage)
    report = sync(folder, uri=database.uri)
    assert report.error is None
    for trial in trials():
        assert sync(storage / str(trial.run), uri=database.uri, plots=False).error is None
    found = {name: (identity, status) for identity, name, status in database.runs()}
    assert {name: status for name, (_, status) in found.items()} == {
        "rates-0": "FINISHED",
        **{f"trial 00{n}": "KILLED" if n == 2 else "FINISHED" for n in range(5)},
    }
    parent = found["rates-0"][0]
    parents = database.query("select value from tags where key = 'mlflow.parentRunId'")
    assert parents == [(parent,)] * 5
    rows = database.query(
        "select step, value from metrics where run_uuid = ? and key = 'trial/validation/accuracy'",
        parent,
    )
    assert dict(rows) == {0: 0.5, 1: 0.9, 3: 0.7, 4: 0.8}
    files = {
        path.relative_to(root).as_posix()
        for root in tmp_path.rglob(f"{parent}/artifacts")
        for path in root.rglob("*")
        if path.is_file()
    }
    assert files >= {"best.yaml", "trials.csv", "front/001.yaml", "sweep.json", "job.yaml"}
    assert "plots/history.png" in files


def test_members_of_populations_are_called_by_their_parts() -> None:
    member = Trial(3, {}, "finished", "c", segments=[Segment("a", {}), Segment("c", {})])
    assert labels_of([member, Trial(12, {}, "running", "d"), Trial(13, {})]) == {
        "a": "trial 003, part 0",
        "c": "trial 003, part 1",
        "d": "trial 012",
    }


def test_there_is_nothing_to_draw_before_a_trial_was_judged(tmp_path: Path) -> None:
    assert plot_kept(Folder(str(tmp_path))) == []
