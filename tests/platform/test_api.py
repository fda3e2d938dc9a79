"""The functions behind ``import trainwright``, as a notebook would use them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainwright
from trainwright.runs import RunRecord
from trainwright.storage import Folder

VALUES: dict[str, Any] = {
    "name": "notebook",
    "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [16]},
    "objective": "cross_entropy",
    "training": {"epochs": 2},
    "metrics": ["accuracy"],
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_dictionary_trains_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = trainwright.run(VALUES)
    assert result.status == "finished"
    assert result.steps == 24
    assert result.metrics["validation/accuracy"] > 0.2
    assert Path(result.storage).parent == tmp_path / "runs"
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    again = trainwright.run(VALUES)
    assert again.already_finished
    assert again.run == result.run


def test_file_dictionary_and_loaded_job_are_the_same_run(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(VALUES))
    names = {
        trainwright.validate(job).run
        for job in (file, str(file), VALUES, trainwright.Job.load(file))
    }
    assert len(names) == 1
    changed = trainwright.validate(file, overrides=["seed=1"])
    assert changed.run not in names


def test_overrides_do_not_fit_a_loaded_job() -> None:
    with pytest.raises(ValueError, match=r"Job\.load"):
        trainwright.run(trainwright.Job.from_dict(VALUES), overrides=["seed=1"])


def test_it_runs_in_another_thread() -> None:
    """Where signals cannot be caught; the values of ``progress`` come through."""
    seen: list[dict[str, Any]] = []
    results: list[trainwright.RunResult] = []
    thread = threading.Thread(
        target=lambda: results.append(
            trainwright.run(VALUES, progress=lambda values: seen.append(dict(values)))
        )
    )
    thread.start()
    thread.join(timeout=120)
    assert results[0].status == "finished"
    assert seen[-1]["step"] == seen[-1]["total_steps"] == 24
    assert seen[-1]["metrics"].keys() == {"validation/loss", "validation/accuracy"}


def test_progress_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    trainwright.run(VALUES, progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("run notebook-")


def test_problems_come_as_a_list() -> None:
    with pytest.raises(trainwright.InputError) as caught:
        trainwright.run({**VALUES, "trainig": {}, "seed": "x"})
    assert {problem.path for problem in caught.value.problems} == {"trainig", "seed"}


def test_a_failure_is_a_run_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "losses.py").write_text(
        "import torch\n\n\nclass Failing(torch.nn.CrossEntropyLoss):\n"
        "    def forward(self, logits, target):\n"
        "        if len(target) > 8:\n"
        "            raise ValueError('the moon is full')\n"
        "        return super().forward(logits, target)\n"
    )
    with pytest.raises(trainwright.RunError, match="the moon is full"):
        trainwright.run({**VALUES, "objective": "losses.py:Failing"})
    assert capfd.readouterr() == ("", "")
    (entry,) = trainwright.list_runs()
    assert entry.status == "failed"
    assert entry.error == "training failed: ValueError: the moon is full"


def test_a_result_reads_well() -> None:
    result = trainwright.RunResult(
        run="a-1",
        status="finished",
        metrics={"validation/accuracy": 0.971234567, "train/loss": 0.1},
        storage="/runs/a-1",
        mlflow_run_id=None,
        seconds=12.34,
        steps=240,
        remarks=["something to know"],
    )
    assert repr(result) == (
        "a-1: finished, 240 steps, 12.3 s\n"
        "  train/loss           0.1\n"
        "  validation/accuracy  0.971235\n"
        "  in /runs/a-1\n"
        "  note: something to know"
    )


def test_a_validation_reads_well() -> None:
    text = repr(trainwright.validate(VALUES))
    lines = text.splitlines()
    assert lines[0].endswith(": a valid job")
    assert "  model: mlp, 1,210 trainable weights" in lines
    assert lines[-1] == "  it has not been run yet"


def test_runs_are_listed_and_exported(tmp_path: Path) -> None:
    result = trainwright.run(VALUES)
    (entry,) = trainwright.list_runs()
    assert (entry.run, entry.status, entry.tracking.sent) == (result.run, "finished", "off")
    assert trainwright.list_runs(tmp_path / "runs") == [entry]
    done = trainwright.export(result.run, to=tmp_path / "weights", checkpoint=12)
    assert (done.step, done.files) == (12, ["model.safetensors"])
    assert (tmp_path / "weights" / "model.safetensors").is_file()
    with pytest.raises(trainwright.InputError, match="no such run"):
        trainwright.export("nobody")


def test_sync_sends_what_a_run_without_tracking_has_kept(tmp_path: Path) -> None:
    result = trainwright.run(VALUES)
    assert trainwright.sync() == {}
    uri, told = f"sqlite:///{tmp_path / 'other.db'}", []
    reports = trainwright.sync(result.run, uri=uri, progress=lambda *values: told.append(values))
    report = reports[result.run]
    assert (report.left, report.error) == (0, None)
    assert told[-1] == (result.run, report.sent)
    repeated = trainwright.sync(result.run, uri=uri)[result.run]
    assert (repeated.sent, repeated.error) == (0, None)


def test_a_result_can_be_told_from_the_record_alone(tmp_path: Path) -> None:
    record = RunRecord(name="a-1", status="failed", steps=7, metrics={"train/loss": 2.0})
    told = trainwright.RunResult.of(Folder(str(tmp_path)), record).to_json()
    assert (told["status"], told["steps"], told["metrics"]) == ("failed", 7, {"train/loss": 2.0})
