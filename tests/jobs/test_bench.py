"""``make bench-methods``: every comparison run, a line for each, a status for all."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[2] / "jobs" / "methods" / "bench.py"
JOB = """
kind: compare
name: {name}
seeds: 2
base:
  data: {{source: digits, batch_size: 256, validation: 0.5}}
  model: {{name: mlp, hidden: [8]}}
  objective: {{name: {objective}}}
  strategies: [output_scale]
  optimizer: {{name: sgd, lr: 0.001}}
  training: {{epochs: 1}}
variants:
  baseline:
  method: {{optimizer.lr: 0.1}}
expect:
  - {line}
cluster: {{workers: 0}}
tracking: {{enabled: false}}
"""


TRUE = "mean(train/loss@final, method) < mean(train/loss@final, baseline)"
FALSE = "mean(validation/loss, method) > 10"


def write(folder: Path, name: str, line: str, objective: str = "cross_entropy") -> None:
    text = JOB.format(name=name, line=line, objective=objective)
    (folder / f"{name}.yaml").write_text(text)


def statuses(folder: Path) -> dict[str, int]:
    records = json.loads((folder / "build" / "summary.json").read_text())
    return {record["name"]: record["status"] for record in records}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, for the jobs of another folder."""
    spec = importlib.util.spec_from_file_location("bench", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDERS", (tmp_path,))
    monkeypatch.setattr(module, "BUILD", tmp_path / "build")
    return module


def test_it_ends_with_1_unless_all_hold(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "fine", TRUE)
    write(tmp_path, "wrong", TRUE, "cros_entropy")
    assert bench.main([]) == 1
    out = capsys.readouterr().out
    assert "1 of 2 as expected" in out
    assert "cross_entropy" in out, "what is wrong with a job is passed on"
    assert statuses(tmp_path) == {"fine": 0, "wrong": 2}


@pytest.mark.slow
def test_a_line_that_does_not_hold_is_told_and_with_equal_variants_it_has_to_be_one(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "fine", TRUE)
    write(tmp_path, "untrue", FALSE)
    assert bench.main([]) == 1
    assert f"does not hold: {FALSE}   (" in capsys.readouterr().out
    assert statuses(tmp_path) == {"fine": 0, "untrue": 1}
    assert bench.main(["fine", "--placebo"]) == 0


def test_an_unknown_name_is_refused(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "fine", TRUE)
    (tmp_path / "single.yaml").write_text("kind: federated\n")
    with pytest.raises(SystemExit) as end:
        bench.main(["fien"])
    assert end.value.code == 2
    assert "no job fien: there are fine" in capsys.readouterr().err
