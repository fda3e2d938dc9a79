"""Synchronisation with a real MLflow SQLite store: complete, once, with the true status."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from journals import write_steps

from trainwright.tracking import (
    JournalWriter,
    SyncReport,
    read_state,
    sync,
)
from trainwright.tracking.rows import MetricsRow, encode
from trainwright.tracking.target import MlflowTarget


def test_everything_arrives_once_with_parameters_tags_and_files(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 1201))
    run.folder.write_bytes("figures/map-00000007.png", b"a picture that a strategy drew")
    run.record("finished", finished=1_700_000_000.5)
    seen: list[int] = []
    report = sync(run.folder, uri=database.uri, progress=seen.append)
    assert report.error is None
    assert report == SyncReport(2400, 0, None, database.runs()[0][0])
    assert seen == [1000, 2000, 2400]
    expected = [("odd", s, float(s)) for s in range(1, 1201)]
    expected += [("train/loss", s, 1 / s) for s in range(1, 1201)]
    assert database.values() == expected
    assert database.runs()[0][1:] == ("digits-1", "FINISHED")
    assert database.query("select end_time from runs") == [(1_700_000_000_500,)]
    assert database.params() == {
        "name": "digits",
        "kind": "train",
        "training.epochs": "3",
        "seed": "0",
    }
    tags = database.tags()
    assert tags["trainwright.run"] == "digits-1"
    assert tags["trainwright.kind"] == "train"
    assert tags["trainwright.version.mlflow"]
    assert tags["mlflow.source.git.commit"]
    assert "trainwright.rewinds" not in tags
    place = Path(database.query("select artifact_uri from runs")[0][0].removeprefix("file://"))
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    expected_files = {"job.yaml", "resolved.json", "plots/loss.png", "figures/map-00000007.png"}
    assert expected_files <= files
    assert place.is_relative_to(database.path.parent / "mlartifacts")


def test_a_second_synchronisation_sends_nothing(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 11))
    run.record("finished")
    assert sync(run.folder, uri=database.uri).sent == 20
    before = database.points()
    again = sync(run.folder)
    assert (again.sent, again.left, again.error) == (0, 0, None)
    assert database.points() == before
    assert len(database.runs()) == 1


def test_a_lost_tracking_file_neither_doubles_the_run_nor_its_rows(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 21))
    sync(run.folder, uri=database.uri)
    write_steps(run.folder, 2, range(11, 31), past=(1, 10), salt=0.5)
    sync(run.folder, uri=database.uri)
    before = database.points()
    run.folder.remove("tracking.json")
    write_steps(run.folder, 3, range(16, 41), past=(2, 15))
    assert sync(run.folder, uri=database.uri).error is None
    assert len(database.runs()) == 1
    assert set(before) <= set(database.points())
    losses = [value for value in database.values() if value[0] == "train/loss"]
    assert losses == [("train/loss", step, 1 / step) for step in range(1, 41)]


def test_rewound_steps_with_equal_values_are_one_and_the_tag_tells(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 21))
    assert sync(run.folder, uri=database.uri).sent == 40
    write_steps(run.folder, 2, range(11, 31), past=(1, 10), salt=0.25)
    report = sync(run.folder, uri=database.uri)
    assert report.sent == 20 + 10, "20 differing values, 10 new losses"
    losses = [value for value in database.values() if value[0] == "train/loss"]
    assert losses == [("train/loss", step, 1 / step) for step in range(1, 31)]
    odd = [(step, value) for key, step, value in database.values() if key == "odd"]
    assert sorted(odd) == sorted(
        [(s, float(s)) for s in range(1, 21)] + [(s, s + 0.25) for s in range(11, 31)]
    )
    latest = {
        step: value
        for key, step, value, _ in sorted(database.points(), key=lambda point: point[3])
        if key == "odd"
    }
    assert latest == {s: s + (0.25 if s > 10 else 0.0) for s in range(1, 31)}
    (rewind,) = json.loads(database.tags()["trainwright.rewinds"])
    assert (rewind["attempt"], rewind["from_step"]) == (2, 10)


def test_rows_of_a_dead_branch_are_not_sent_afterwards(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 21), salt=0.5)
    write_steps(run.folder, 2, range(11, 16), past=(1, 10))
    sync(run.folder, uri=database.uri)
    odd = [(step, value) for key, step, value in database.values() if key == "odd"]
    assert odd == [(s, s + 0.5) for s in range(1, 11)] + [(s, float(s)) for s in range(11, 16)]


def test_a_clean_continuation_is_no_rewind(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 11))
    write_steps(run.folder, 2, range(11, 16), past=(1, 10))
    sync(run.folder, uri=database.uri)
    assert "trainwright.rewinds" not in database.tags()


def test_special_values_and_names_arrive(run: Any, database: Any) -> None:
    with JournalWriter(run.folder, 1, [], 1) as journal:
        journal.metrics(1, {"nan": math.nan, "inf": math.inf, "tiny": 5e-324, "a b?c//d": 1.0})
        journal.metrics(2, {"nan": math.nan, "k" * 400: 2.0})
    report = sync(run.folder, uri=database.uri)
    assert (report.sent, report.error) == (6, None)
    stored = {(key, step): value for key, step, value in database.values()}
    assert stored["nan", 1] is None
    assert stored["inf", 1] == 1.7976931348623157e308
    assert stored["tiny", 1] == 5e-324
    assert stored["a b_c/d", 1] == 1.0
    assert stored["k" * 250, 2] == 2.0


def test_a_point_that_the_server_refuses_does_not_hold_up_the_others(
    run: Any, database: Any
) -> None:
    with JournalWriter(run.folder, 1, [], 1) as journal:
        for step in [*range(1, 8), 2**70, *range(8, 11)]:
            journal.metrics(step, {"a": 1.0})
    path = run.path / "journal" / "attempt-0001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    early = MetricsRow(kind="metrics", attempt=1, time=-5, step=3, values={"b": 1.0})
    path.write_bytes(b"".join([*lines[:4], encode(early), *lines[4:]]))
    report = sync(run.folder, uri=database.uri, timeout_s=120)
    state = read_state(run.folder)
    assert state is not None
    assert [step for _, step, _ in database.values()] == list(range(1, 11))
    assert report.left == 0
    assert state.refused == 2
    assert "Timestamp" in str(state.refused_why)


def test_resending_a_batch_stores_each_point_once(database: Any) -> None:
    from trainwright.tracking.outbox import Point

    target = MlflowTarget(database.uri)
    run_id = target.create_run(target.experiment("e"), "n", {})
    points = [Point("a", math.nan if s == 3 else s / 3, 1000 + s, s) for s in range(50)]
    target.send(run_id, points[:30])
    target.send(run_id, points)
    target.send(run_id, points)
    assert len(database.points()) == 50


def test_long_and_many_parameters_are_cut_and_passwords_hidden(run: Any, database: Any) -> None:
    job = {"name": "digits", "kind": "train", "text": "x" * 9000, "values": list(range(5))}
    job["data"] = {"source": "s3://user:secret@host/data"}
    job["many"] = {f"option_{index}": index for index in range(1500)}
    run.folder.write_json("resolved.json", job)
    write_steps(run.folder, 1, range(1, 2))
    assert sync(run.folder, uri=database.uri).error is None
    params = database.params()
    assert len(params) == 1000
    assert len(params["text"]) == 6000
    assert params["text"].endswith("…")
    assert params["values"] == "[0, 1, 2, 3, 4]"
    assert params["data.source"] == "s3://user:***@host/data"


def test_a_changed_job_becomes_a_tag_since_parameters_are_fixed(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 2))
    sync(run.folder, uri=database.uri)
    job = run.folder.read_json("resolved.json")
    run.folder.write_json("resolved.json", {**job, "training": {"epochs": 9}, "more": 1})
    assert sync(run.folder).error is None
    assert database.params()["training.epochs"] == "3"
    assert database.params()["more"] == "1"
    assert json.loads(database.tags()["trainwright.changed_params"]) == {"training.epochs": "9"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [("finished", "FINISHED"), ("failed", "FAILED"), ("interrupted", "KILLED")],
)
def test_the_final_status_is_the_true_one(
    run: Any, database: Any, status: str, expected: str
) -> None:
    write_steps(run.folder, 1, range(1, 3))
    run.folder.write_bytes("logs/driver.log", b"a" * 100_000 + b"the cause")
    assert sync(run.folder, uri=database.uri).error is None
    assert database.runs()[0][2] == "RUNNING", "a living driver's run is left as it is"
    run.record(status)
    sync(run.folder)
    assert database.runs()[0][2] == expected
    logs = list((database.path.parent / "mlartifacts").rglob("logs/driver.log"))
    assert len(logs) == (1 if status == "failed" else 0)
    assert all(log.read_bytes().endswith(b"the cause") for log in logs)
    assert all(log.stat().st_size == 65536 for log in logs)


def test_a_run_deleted_in_mlflow_is_sent_anew(run: Any, database: Any) -> None:
    from mlflow import MlflowClient

    write_steps(run.folder, 1, range(1, 11))
    first = sync(run.folder, uri=database.uri).mlflow_run_id
    MlflowClient(tracking_uri=database.uri).delete_run(first)
    write_steps(run.folder, 2, range(11, 13), past=(1, 10))
    second = sync(run.folder)
    assert second.mlflow_run_id != first
    assert second.sent == 24
    rows = database.query("select count(*) from metrics where run_uuid = ?", second.mlflow_run_id)
    assert rows == [(24,)]


def test_another_server_gets_everything(run: Any, database: Any, tmp_path: Path) -> None:
    write_steps(run.folder, 1, range(1, 6))
    sync(run.folder, uri=database.uri)
    other = f"sqlite:///{tmp_path}/elsewhere/mlflow.db"
    report = sync(run.folder, uri=other)
    assert (report.sent, report.error) == (10, None)
    state = read_state(run.folder)
    assert state is not None
    assert state.uri == other


def test_an_unreachable_server_is_an_answer_not_an_exception(run: Any) -> None:
    write_steps(run.folder, 1, range(1, 6))
    report = sync(run.folder, uri="http://127.0.0.1:1", timeout_s=3)
    assert (report.sent, report.left) == (0, 10)
    assert "127.0.0.1" in str(report.error)
    state = read_state(run.folder)
    assert state is not None
    assert state.phase == "behind"


def test_a_file_store_is_refused_with_the_way_out(run: Any, tmp_path: Path) -> None:
    report = sync(run.folder, uri=f"file://{tmp_path}/mlruns")
    assert report.sent == 0
    assert "maintenance mode" in str(report.error)
    assert f"sqlite:///{tmp_path}/mlflow.db" in str(report.error)


def test_files_that_cannot_be_stored_are_told_and_hold_up_nothing_else(
    run: Any, database: Any
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=database.uri)
    client.create_experiment("digits", artifact_location="file:///proc/nowhere")
    write_steps(run.folder, 1, range(1, 6))
    run.record("finished")
    report = sync(run.folder, uri=database.uri, timeout_s=120)
    assert (report.sent, report.left) == (10, 0)
    assert "artifact job.yaml" in str(report.error)
    assert database.runs()[0][2] == "FINISHED"
