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
  cluster: {{workers: 0}}
  tracking: {{enabled: false}}
variants:
  baseline:
  method: {{optimizer.lr: 0.1}}
expect:
  - {line}
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, for the jobs of another folder."""
    spec = importlib.util.spec_from_file_location("bench", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "BUILD", tmp_path / "build")
    return module


def test_it_ends_with_1_unless_all_hold(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    true = "mean(train/loss@final, method) < mean(train/loss@final, baseline)"
    false = "mean(validation/loss, method) > 10"
    for name, line, objective in [
        ("fine", true, "cross_entropy"),
        ("untrue", false, "cross_entropy"),
        ("wrong", true, "cros_entropy"),
    ]:
        text = JOB.format(name=name, line=line, objective=objective)
        (tmp_path / f"{name}.yaml").write_text(text)
    assert bench.main([]) == 1
    out = capsys.readouterr().out
    assert "1 of 3 as expected" in out
    assert f"does not hold: {false}   (" in out
    assert "cross_entropy" in out, "what is wrong with a job is passed on"
    records = {
        one["name"]: one for one in json.loads((tmp_path / "build/summary.json").read_text())
    }
    assert [records[name]["status"] for name in ("fine", "untrue", "wrong")] == [0, 1, 2]


@pytest.mark.slow
def test_with_equal_variants_a_line_is_false_as_it_has_to_be(
    bench: ModuleType, tmp_path: Path
) -> None:
    line = "mean(train/loss@final, method) < mean(train/loss@final, baseline)"
    text = JOB.format(name="fine", line=line, objective="cross_entropy")
    (tmp_path / "fine.yaml").write_text(text)
    assert bench.main(["fine", "--placebo"]) == 0


def test_an_unknown_name_is_refused(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fine.yaml").touch()
    with pytest.raises(SystemExit) as end:
        bench.main(["fien"])
    assert end.value.code == 2
    assert "no job fien: there are fine" in capsys.readouterr().err
