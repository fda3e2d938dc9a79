"""``validate``, ``list``, ``show``, ``schema``, ``runs`` and ``export``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from trainwright.plugins import GROUPS, short_names


def test_validate_says_what_would_run(job: Path, call: Callable[..., Any]) -> None:
    said = call("validate", "job.yaml")
    assert said.status == 0, said.err
    assert said.out.startswith("good: job.yaml would run as tiny-")
    for line in (
        "  data: 1438 training, 359 validation samples",
        "  training: 24 updates of 128 samples, 12 in an epoch",
        "  workers: none, in this process; local, fp32",
    ):
        assert line in said.out.splitlines()
    assert "it has not been run yet" in said.out
    assert not (job.parent / "runs").exists()


def test_validate_names_engine_stage_and_what_depends_on_workers(
    job: Path, call: Callable[..., Any]
) -> None:
    said = call(
        "validate",
        "job.yaml",
        "-s",
        "model=convnet",
        "-s",
        "cluster={workers: 2, cpus_per_worker: 0.5}",
        "-s",
        "deepspeed.zero_optimization.stage=2",
    )
    assert said.status == 0, said.err
    line = "workers: 2 with 0.5 CPU each, on Ray (local); DeepSpeed, ZeRO stage 2, fp32"
    assert line in said.out
    assert "note: batch normalisation" in said.out


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("finished", "running it again would train nothing"),
        ("failed", "an earlier attempt failed at step 7 of 24; running it again goes on"),
        ("interrupted", "an earlier attempt was interrupted at step 7 of 24"),
        ("running", "it is running at the moment"),
    ],
)
def test_validate_tells_what_became_of_an_earlier_run(
    status: str, words: str, workplace: Path, call: Callable[..., Any]
) -> None:
    file = next((workplace / "runs").glob("*/run.json"))
    record = json.loads(file.read_text())
    driver = {"host": "another-machine", "pid": 1}
    file.write_text(json.dumps({**record, "status": status, "steps": 7, "driver": driver}))
    assert words in call("validate", "job.yaml").out
    answer = call("validate", "job.yaml", "--json").json
    assert answer["status"] == "valid"
    assert (answer["run"], answer["earlier"], answer["earlier_steps"]) == (
        file.parent.name,
        status,
        7,
    )


def test_list_shows_every_group(call: Callable[..., Any]) -> None:
    said = call("list", width=80)
    assert said.status == 0
    lines = said.out.splitlines()
    for group, purpose in GROUPS.items():
        assert f"{group}  {purpose}" in lines
        for name in short_names(group):
            assert any(line.startswith(f"  {name} ") for line in lines), name
    assert max(len(line) for line in lines) <= 80


def test_list_of_one_group_and_as_json(call: Callable[..., Any]) -> None:
    said = call("list", "strategies")
    assert {line.split()[0] for line in said.out.splitlines()[:-1]} == set(
        short_names("strategies")
    )
    entries = call("list", "strategies", "--json").json["plugins"]
    assert [entry["name"] for entry in entries] == short_names("strategies")
    assert all(entry["purpose"] and entry["error"] is None for entry in entries)


OWN = [
    (group, name)
    for group in (
        "objectives",
        "strategies",
        "procedures",
        "aggregators",
        "partitioners",
        "update_transforms",
        "models",
        "datasets",
        "transforms",
        "schedules",
    )
    for name in short_names(group)
]


@pytest.mark.parametrize(("group", "name"), OWN)
def test_show_renders_every_plugin_at_80_columns(
    group: str, name: str, call: Callable[..., Any]
) -> None:
    said = call("show", f"{group}/{name}", width=80)
    assert said.status == 0, said.err
    head, _, example = said.out.partition("\nIn a job\n")
    assert head.startswith(f"{name}  {group}, ")
    assert example
    assert max(len(line) for line in head.splitlines()) <= 80
    assert not any(line != line.rstrip() for line in said.out.splitlines())
    for mark in ("``", ":math:", ":attr:", "\\begin"):
        assert mark not in said.out


def test_show_tells_what_the_issue_asks_for(call: Callable[..., Any]) -> None:
    said = call("show", "z_loss", width=80)
    for title in ("Equation", "Options", "Needs", "In a job", "Measured", "Source"):
        assert title in said.out.splitlines()
    assert "  a  number; default 1.0" in said.out
    assert "objective: {name: z_loss, a: 1.0, b: 0.0" in said.out
    assert "1604.08859" in said.out
    strategy = call("show", "ghost_batch_norm", width=80).out
    assert "ZeRO stages: 0, 1, 2, 3" in strategy
    # An example is never folded: it is there to be copied.
    assert any("on_remainder: short}" in line for line in strategy.splitlines())


def test_show_of_a_plugin_beside_the_job(tmp_path: Path, call: Callable[..., Any]) -> None:
    (tmp_path / "losses.py").write_text(
        'from torch import nn\n\n\nclass Mine(nn.MSELoss):\n    """A loss of my own."""\n'
    )
    answer = call("show", "objectives/losses.py:Mine", "--json").json
    assert answer["purpose"] == "A loss of my own."
    assert answer["origin"] == "file losses.py"


def test_schema_on_standard_output_and_in_a_file(tmp_path: Path, call: Callable[..., Any]) -> None:
    said = call("schema")
    schema = json.loads(said.out)
    assert schema["title"] == "Trainwright job"
    assert "z_loss" in said.out
    assert call("schema", "--output", "docs/job.schema.json").out == ""
    assert (tmp_path / "docs" / "job.schema.json").read_text() == said.out
    assert json.loads(call("schema", "--profile").out)["title"] == "Trainwright profile"


def test_runs_of_an_empty_storage(call: Callable[..., Any]) -> None:
    said = call("runs")
    assert (said.status, said.out) == (0, "")
    assert said.err == "nothing has run in runs yet; --storage looks elsewhere\n"
    assert call("runs", "--json").json["runs"] == []


def test_runs_tells_status_steps_metrics_and_tracking(
    workplace: Path, call: Callable[..., Any]
) -> None:
    (entry,) = call("runs", "--json").json["runs"]
    assert (entry["status"], entry["steps"], entry["total_steps"]) == ("finished", 24, 24)
    assert entry["tracking"]["sent"] == "off"
    said = call("runs")
    header, line = said.out.splitlines()
    columns = ["run", "status", "steps", "workers", "metrics", "started", "took", "mlflow"]
    assert header.split() == columns
    assert line.split()[:3] == [entry["run"], "finished", "24/24"]
    assert line.split()[-1] == "off"


def test_runs_never_cuts_a_name_on_a_narrow_terminal(
    workplace: Path, call: Callable[..., Any]
) -> None:
    name = f"{'a-long-name-' * 4}0123abcd"
    first = next((workplace / "runs").iterdir())
    shutil.copytree(first, workplace / "runs" / name)
    record = json.loads((first / "run.json").read_text())
    failed = {**record, "name": name, "status": "failed", "error": "it broke\nTraceback"}
    (workplace / "runs" / name / "run.json").write_text(json.dumps(failed))
    said = call("runs", width=80)
    assert f"{name}  failed" in said.out
    assert f"{name}: it broke" in said.out
    assert "Traceback" not in said.out


def test_runs_sees_that_a_driver_died(workplace: Path, call: Callable[..., Any]) -> None:
    import socket

    file = next((workplace / "runs").glob("*/run.json"))
    record = json.loads(file.read_text())
    driver = {"host": socket.gethostname(), "pid": 2**22 + 1}
    file.write_text(json.dumps({**record, "status": "running", "driver": driver}))
    assert call("runs", "--json").json["runs"][0]["status"] == "interrupted"


def test_runs_elsewhere(workplace: Path, tmp_path: Path, call: Callable[..., Any]) -> None:
    shutil.move(workplace / "runs", tmp_path / "elsewhere")
    assert len(call("runs", "--storage", str(tmp_path / "elsewhere"), "--json").json["runs"]) == 1


def test_export_names_its_files(workplace: Path, call: Callable[..., Any]) -> None:
    run = next((workplace / "runs").iterdir())
    said = call("export", "tiny", "--checkpoint", "last", "--to", "weights")
    assert said.status == 0, said.err
    assert said.out == f"exported {run.name}, step 24, to:\n  weights/model.safetensors\n"
    weights = load_file(workplace / "weights" / "model.safetensors")
    assert {tuple(w.shape) for w in weights.values()} >= {(16, 64), (10, 16)}
    answer = call("export", run.name, "--checkpoint", "12", "--json").json
    assert (answer["status"], answer["step"]) == ("exported", 12)
    assert answer["files"] == ["model.safetensors"]
    assert answer["folder"] == str(run / "export")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "no such run"),
        (["tiny", "--checkpoint", "13"], "keeps no checkpoint of this step"),
        (["tiny", "--checkpoint", "newest"], "names no checkpoint"),
    ],
)
def test_export_refuses_what_is_not_there(
    arguments: list[str], message: str, workplace: Path, call: Callable[..., Any]
) -> None:
    said = call("export", *arguments)
    assert said.status == 2
    assert message in said.err
    assert "allowed:" in said.err


def test_export_of_a_run_without_checkpoints(workplace: Path, call: Callable[..., Any]) -> None:
    shutil.rmtree(next((workplace / "runs").glob("*/checkpoints")))
    said = call("export", "tiny", "--json")
    assert said.status == 1
    assert "has no checkpoint" in said.json["error"]


def test_sync_of_nothing(workplace: Path, call: Callable[..., Any]) -> None:
    """The only run has tracking off: it is sent when it is named, not otherwise."""
    said = call("sync", "--json")
    assert (said.status, said.json["runs"]) == (0, {})
    assert "there is no run to send" in said.err
