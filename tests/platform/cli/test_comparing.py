"""Comparisons on the command line: exit status, JSON, tables, and the picture while they run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from trainwright.cli.comparing import CountingLines, LiveTable

COMPARE = """\
kind: compare
name: pair
base:
  data: {source: digits, batch_size: 512, validation: 0.3}
  model: {name: mlp, hidden: [8]}
  objective: cross_entropy
  optimizer: {name: sgd, lr: 0.01}
  training: {epochs: 2}
variants:
  baseline:
  method: {optimizer.lr: 1.0}
seeds: 2
expect:
  - mean(train/loss, method) < mean(train/loss, baseline)
cluster: {workers: 0}
tracking: {enabled: false}
"""


@pytest.fixture
def compare(tmp_path: Path) -> Path:
    (tmp_path / "compare.yaml").write_text(COMPARE)
    return tmp_path / "compare.yaml"


def test_from_validation_to_placebo(compare: Path, call: Callable[..., Any]) -> None:
    checked = call("validate", "compare.yaml", "--json")
    assert checked.status == 0
    assert checked.json["steps"] == 4 * 6
    assert not Path("runs").exists()

    first = call("run", "compare.yaml")
    assert first.status == 0, first.err
    assert "comparison pair-" in first.err
    for part in ("95 % interval", "minus baseline", "ms per step", "✓ mean(train/loss, method)"):
        assert part in first.out
    assert "good: " in first.out

    again = call("run", "compare.yaml", "--json")
    answer = again.json
    assert again.status == 0
    assert answer["kind"] == "compare"
    assert answer["run"] == checked.json["run"]
    assert answer["holds"] is True
    assert answer["expectations"][0]["holds"] is True
    assert set(answer["variants"]) == {"baseline", "method"}
    assert set(answer["variants"]["method"]["runs"]) == {"0", "1"}

    failed = call("run", "compare.yaml", "-s", "expect=['mean(train/loss, method) > 50']")
    assert failed.status == 1
    assert "✗ mean(train/loss, method) > 50" in failed.out
    assert "not met: " in failed.out

    placebo = call("run", "compare.yaml", "--placebo")
    assert placebo.status == 0
    assert "noticed the missing method" in placebo.out


def test_options_that_do_not_fit(compare: Path, job: Path, call: Callable[..., Any]) -> None:
    refused = call("run", "job.yaml", "--placebo", "--json")
    assert refused.status == 2
    assert refused.json["problems"][0]["path"] == "--placebo"
    assert refused.json["problems"][0]["allowed"] == "kind: compare"
    assert call("run", "compare.yaml", "--resume", "x").status == 2


def test_mistakes_have_their_place(compare: Path, call: Callable[..., Any]) -> None:
    compare.write_text(COMPARE.replace("optimizer.lr: 1.0", "optimizer.lr: fast"))
    said = call("validate", "compare.yaml")
    assert said.status == 2
    assert "compare.yaml:11: variants.method.optimizer.lr" in said.err


def _started() -> Any:
    runs = {v: {s: SimpleNamespace(name=f"{v}-{s}") for s in (0, 1)} for v in ("one", "two")}
    spec = SimpleNamespace(seed_list=[0, 1])
    everything = [run for by_seed in runs.values() for run in by_seed.values()]
    plan = SimpleNamespace(
        variants=runs, runs=everything, placebo=False, job=SimpleNamespace(spec=spec)
    )
    folder = SimpleNamespace(url="/runs/pair-1234")
    return SimpleNamespace(plan=plan, folder=folder, continues=False, num_kept=1)


def _progress(**states: str) -> dict[str, Any]:
    runs = {
        name.replace("_", "-"): {"state": state, "metrics": {"validation/accuracy": 0.5}, "step": 3}
        for name, state in states.items()
    }
    return {"runs": runs, "step": 6, "total_steps": 12, "stopping": False}


STATES = {"one_0": "kept", "one_1": "finished", "two_0": "failed", "two_1": "running"}


def test_the_live_table_shows_every_run() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with LiveTable(console, "compare.yaml") as view:
        view.started(_started())
        view.show(_progress(**STATES))
        console.print(view._render())
    text = stream.getvalue()
    assert "comparison pair-1234: 2 variants x 2 seeds, 4 runs, 1 of them finished already" in text
    assert "✓✓" in text
    assert "✗▸" in text
    assert "2/2" in text
    assert "0/2" in text
    assert "validation/accuracy 0.5" in text
    assert "2 of 4 runs finished" in text


def test_lines_in_a_log_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("trainwright.cli.lines.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    view = CountingLines(Console(file=stream, width=200))
    view.started(_started())
    for second in range(21):
        now[0] = float(second)
        view.show(_progress(**STATES))
    view.show({**_progress(**STATES), "remark": "run two-0 failed: RuntimeError: no"})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("2 of 4 runs finished")
    assert lines[2] == "note: run two-0 failed: RuntimeError: no"
