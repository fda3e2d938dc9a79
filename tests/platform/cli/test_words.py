"""Times, numbers and JSON as people and programs read them."""

from __future__ import annotations

import json
import math
import shlex

import pytest

from trainwright.cli import words
from trainwright.plain import plain_json


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97123, "0.9712"), (1.0e-7, "1e-07"), (12345.6, "12,346"), (math.nan, "nan"), (0.0, "0")],
)
def test_number(value: float, text: str) -> None:
    assert words.number(value) == text


def test_metrics_puts_the_most_telling_first() -> None:
    values = {"train/loss": 1.0, "validation/loss": 2.0, "validation/accuracy": 0.5, "test/f1": 0.4}
    names = [part.split()[0] for part in words.metrics(values).split(", ")]
    assert names == ["test/f1", "validation/accuracy", "validation/loss", "train/loss"]


def test_metrics_of_the_model_stand_before_those_of_clients() -> None:
    values = {"client/accuracy/mean": 0.1, "validation/loss": 2.0, "train/loss": 1.0}
    names = [part.split()[0] for part in words.metrics(values).split(", ")]
    assert names == ["validation/loss", "client/accuracy/mean", "train/loss"]
    assert words.metrics(values, 1) == "validation/loss 2, ..."
    assert words.metrics(values, 3) == words.metrics(values)


def test_command_survives_a_shell() -> None:
    parts = ["trainwright", "run", "my job.yaml", "-s", "objective={name: z_loss, a: 2}"]
    assert shlex.split(words.command(*parts)) == parts


def test_command_names_the_program_as_it_was_called(monkeypatch, tmp_path) -> None:
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("trainwright", "mlflow"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.argv", [".venv/bin/trainwright", "run", "job.yaml"])
    assert words.command("mlflow", "ui") == ".venv/bin/mlflow ui"
    assert words.command("trainwright", "runs") == ".venv/bin/trainwright runs"
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sys.argv", [str(folder / "trainwright"), "run", "job.yaml"])
    assert words.command("trainwright", "runs") == "trainwright runs"
    monkeypatch.setattr("sys.argv", ["notebook.py"])
    assert words.command("trainwright", "runs") == "trainwright runs"


def test_plain_json() -> None:
    value = {"a": math.inf, "b": [math.nan, 1.5], "c": (1, "x"), 3: None}
    plain = plain_json(value)
    assert json.loads(json.dumps(plain, allow_nan=False)) == {
        "a": "inf",
        "b": ["nan", 1.5],
        "c": [1, "x"],
        "3": None,
    }
