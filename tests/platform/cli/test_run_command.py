"""``trainwright run`` from end to end, without Ray."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KEYS = {
    "run",
    "status",
    "metrics",
    "storage",
    "mlflow_run_id",
    "seconds",
    "steps",
    "unit",
    "remarks",
}

FAILING_LOSS = '''\
import torch

print("a plugin that talks while it is imported")


class Failing(torch.nn.Module):
    """Works for some batches."""

    def __init__(self, batches: int = 15) -> None:
        super().__init__()
        self.left = batches

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        print("a plugin that talks while it trains")
        self.left -= 1
        if self.left < 0:
            raise ValueError("the moon is full")
        return torch.nn.functional.cross_entropy(logits, target)
'''


def test_a_run_prints_one_object_and_nothing_else(shell: Callable[..., Any], job: Path) -> None:
    (job.parent / "losses.py").write_text(FAILING_LOSS)
    said = shell(
        "run", "job.yaml", "--json", "-s", "objective={name: losses.py:Failing, batches: 99}"
    )
    assert said.status == 0, said.err
    answer = said.json
    assert answer.keys() == KEYS
    assert answer["status"] == "finished"
    assert answer["steps"] == 24
    assert answer["metrics"]["validation/accuracy"] > 0.2
    assert answer["mlflow_run_id"] is None
    assert (Path(answer["storage"]) / "export" / "model.safetensors").is_file()
    assert f"run {answer['run']}" in said.err
    assert f"finished {answer['run']}" in said.err
    log = (Path(answer["storage"]) / "logs" / "driver.log").read_text()
    assert log.count("talks while it trains") >= 24
    assert said.err.count("talks while it trains") <= 2  # the dry run


def test_the_summary_says_where_everything_is(workplace: Path, call: Callable[..., Any]) -> None:
    said = call("run", "job.yaml", "--fresh")
    assert said.status == 0, said.err
    run = next((workplace / "runs").glob("tiny-*.2")).name
    assert f"finished {run}  24 steps in" in said.out
    for text in (
        "validation/accuracy  0.",
        f"run folder  runs/{run}",
        f"plots       runs/{run}/plots (",
        f"weights     runs/{run}/export/model.safetensors",
        "all runs    trainwright runs",
    ):
        assert text in said.out
    assert "mlflow" not in said.out
    assert said.err.count("\n") == 1


def test_a_finished_run_is_not_trained_again(workplace: Path, call: Callable[..., Any]) -> None:
    name = next((workplace / "runs").iterdir()).name
    record = (workplace / "runs" / name / "run.json").read_bytes()
    said = call("run", "job.yaml")
    assert said.status == 0
    assert f"run {name} is finished already (validation/accuracy 0." in said.out
    assert "nothing was trained; --fresh starts anew" in said.out
    assert (workplace / "runs" / name / "run.json").read_bytes() == record
    answer = call("run", "job.yaml", "--json").json
    assert (answer["run"], answer["status"], answer["steps"]) == (name, "finished", 24)


def test_quiet_says_nothing(job: Path, call: Callable[..., Any]) -> None:
    said = call("run", "job.yaml", "--quiet", "-s", "training.epochs=1")
    assert (said.status, said.out, said.err) == (0, "", "")


def test_a_failed_run_tells_cause_place_logs_and_the_way_on(
    call: Callable[..., Any], job: Path
) -> None:
    (job.parent / "losses.py").write_text(FAILING_LOSS)
    said = call("run", "job.yaml", "--json", "-s", "objective=losses.py:Failing")
    assert said.status == 1
    answer = said.json
    assert answer.keys() == KEYS | {"error"}
    assert answer["status"] == "failed"
    assert answer["steps"] == 12
    assert "ValueError: the moon is full" in answer["error"]
    assert "losses.py:17 in forward" in answer["error"]
    assert "Traceback" not in said.err
    lines = [line.strip() for line in said.err.splitlines()]
    assert "failed: ValueError: the moon is full" in lines
    assert any(line.startswith("at: ") and "losses.py:17" in line for line in lines)
    log = Path(answer["storage"]) / "logs" / "driver.log"
    assert f"log: {log.relative_to(job.parent)}" in lines
    assert "Traceback" in log.read_text()
    again = "trainwright run job.yaml -s objective=losses.py:Failing"
    assert f"next: mend the cause, then go on from the last checkpoint with: {again}" in lines


def test_a_mended_run_goes_on(call: Callable[..., Any], job: Path) -> None:
    """The counter of the loss starts anew in each process, so the second attempt gets through."""
    (job.parent / "losses.py").write_text(FAILING_LOSS)
    arguments = ("run", "job.yaml", "--json", "-s", "objective=losses.py:Failing")
    first, second = call(*arguments), call(*arguments)
    assert (first.status, second.status) == (1, 0), second.err
    assert second.json["run"] == first.json["run"]
    assert second.json["steps"] == 24
    assert "going on from an earlier attempt" in second.err


@pytest.mark.parametrize(
    ("text", "line", "path", "nearest"),
    [
        ("training: {epochs: 2, monitor: validation/loss}", 5, "training.epoch", "epochs"),
        ("objective: cross_entropy", 4, "objective", "cross_entropy"),
        ("metrics: [accuracy]", 6, "metrics.0", "accuracy"),
    ],
)
def test_a_mistake_is_refused_with_file_and_line(
    text: str, line: int, path: str, nearest: str, job: Path, call: Callable[..., Any]
) -> None:
    slips = {"epochs": "epoch", "cross_entropy": "cros_entropy", "accuracy": "acuracy"}
    content = job.read_text()
    assert content.splitlines()[line - 1] == text
    job.write_text(content.replace(text, text.replace(nearest, slips[nearest], 1)))
    said = call("run", "job.yaml")
    assert said.status == 2
    assert said.out == ""
    assert said.err.startswith(f"job.yaml:{line}: {path}: ")
    assert f"nearest: {nearest}" in said.err
    answer = call("run", "job.yaml", "--json").json
    assert answer["status"] == "refused"
    assert answer.keys() == KEYS | {"error", "problems"}
    (problem,) = answer["problems"]
    assert (problem["file"], problem["line"]) == ("job.yaml", line)
    assert (problem["path"], problem["nearest"]) == (path, nearest)
    assert not (job.parent / "runs").exists()


def test_several_mistakes_are_told_at_once(job: Path, call: Callable[..., Any]) -> None:
    said = call("run", "job.yaml", "--json", "-s", "data.batch_size=many", "-s", "sed=3")
    assert said.status == 2
    assert {problem["path"] for problem in said.json["problems"]} == {"data.batch_size", "sed"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "nowhere.yaml"],
        ["run", "job.yaml", "-s", "no-equals-sign"],
        ["run", "job.yaml", "--resume", "another"],
        ["run", "job.yaml", "-s", "storage=nothing://x"],
        ["validate", "nowhere.yaml"],
        ["export", "another"],
        ["sync", "another"],
        ["runs", "--storage", "nothing://x"],
        ["show", "nobody"],
        ["list", "nothing"],
        ["doctor", "nowhere.yaml"],
    ],
)
def test_bad_input_under_json_is_one_object_with_problems(
    arguments: list[str], job: Path, call: Callable[..., Any]
) -> None:
    said = call(*arguments, "--json")
    assert said.status == 2, said.err
    assert said.json["status"] == "refused"
    assert said.json["problems"][0]["message"]
    assert said.err
    assert "Traceback" not in said.err


def test_a_job_that_is_no_yaml(job: Path, call: Callable[..., Any]) -> None:
    job.write_text("name: [tiny\ndata: {")
    said = call("run", "job.yaml")
    assert said.status == 2
    assert said.err.startswith("job.yaml:")


def test_numbers_that_are_not_finite_stay_standard_json(
    call: Callable[..., Any], job: Path
) -> None:
    """A rate beyond all reason gives losses that are not a number."""
    diverging = ("run", "job.yaml", "--json", "-s", "optimizer={name: sgd, lr: 1.0e+30}")
    said = call(*diverging, "-s", "training.on_non_finite=ignore")
    assert said.status == 0, said.err
    assert said.json["metrics"]["train/loss"] in ("nan", "inf")
    said = call(*diverging)
    assert said.status == 1
    assert said.json["status"] == "failed"
    assert "the loss of update 2 is nan" in said.json["error"]


def test_a_longer_job_continues_a_run(workplace: Path, call: Callable[..., Any]) -> None:
    before = next((workplace / "runs").iterdir()).name
    longer = ("run", "job.yaml", "-s", "training.epochs=3", "--resume")
    refused = call(*longer, "tiny", "-s", "seed=1", "--json")
    assert refused.status == 2
    assert refused.json["problems"][0]["path"] == "seed"
    said = call(*longer, "tiny", "--json")
    assert said.status == 0, said.err
    assert f"continued from {before}@24" in said.err
    assert said.json["run"] != before
    assert said.json["steps"] == 36
    entry = next(e for e in call("runs", "--json").json["runs"] if e["run"] != before)
    assert entry["resumed_from"] == f"{before}@24"


def test_a_failure_on_an_object_store_names_the_log_on_this_machine(
    job: Path, call: Callable[..., Any]
) -> None:
    (job.parent / "losses.py").write_text(FAILING_LOSS)
    overrides = ("-s", "objective=losses.py:Failing", "-s", "storage=memory://runs")
    said = call("run", "job.yaml", *overrides)
    assert said.status == 1
    (line,) = (line for line in said.err.splitlines() if line.startswith("  log: "))
    assert "Traceback" in Path(line.removeprefix("  log: ")).read_text()


def test_a_run_under_way_is_refused(workplace: Path, call: Callable[..., Any]) -> None:
    file = next((workplace / "runs").glob("*/run.json"))
    record = json.loads(file.read_text())
    driver = {"host": socket.gethostname(), "pid": os.getpid()}
    record |= {"status": "running", "driver": driver}
    file.write_text(json.dumps(record))
    said = call("run", "job.yaml", "--json")
    assert said.status == 2
    assert "being run already" in said.json["problems"][0]["message"]


def test_with_tracking_the_mlflow_run_is_named(call: Callable[..., Any], job: Path) -> None:
    said = call("run", "job.yaml", "-s", "tracking.enabled=true", "-s", "training.epochs=1")
    assert said.status == 0, said.err
    assert "mlflow      mlflow ui --backend-store-uri sqlite:///runs/mlflow.db" in said.out
    assert "sync" not in said.err
    answer = call(
        "run", "job.yaml", "-s", "tracking.enabled=true", "-s", "training.epochs=1", "--json"
    ).json
    assert len(answer["mlflow_run_id"]) == 32
    (entry,) = call("runs", "--json").json["runs"]
    assert entry["tracking"]["sent"] == "all"
    assert entry["tracking"]["run_id"] == answer["mlflow_run_id"]


def test_a_server_that_is_down_is_told_with_the_command_that_mends_it(
    call: Callable[..., Any], job: Path
) -> None:
    said = call(
        "run",
        "job.yaml",
        "--json",
        "-s",
        "tracking={enabled: true, uri: 'http://127.0.0.1:9', drain_timeout_s: 1}",
    )
    assert said.status == 0, said.err
    (remark,) = said.json["remarks"]
    assert f"`trainwright sync {said.json['run']}`" in remark
    assert "MLflow lacks" in remark
    assert f"note: {remark}" in said.err
    (entry,) = call("runs", "--json").json["runs"]
    assert entry["tracking"]["sent"] == "none"
    mended = call("sync", said.json["run"], "--uri", "sqlite:///here.db", "--json")
    assert mended.status == 0, mended.err
    assert mended.json["runs"][said.json["run"]]["sent"] > 0
