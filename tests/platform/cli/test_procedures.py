"""Procedures on the command line: validated, run, found finished, stopped, failing, listed."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from driving import Command
from rich.console import Console

from trainwright.cli.procedures import LiveSteps, StepLines

JOB = """\
kind: procedure
name: counted
procedure: {name: "counting.py:Counting", count: 3}
tracking: {enabled: false}
"""
PROCEDURE = '''
import time
from pathlib import Path


class Counting:
    """Counts.

    Args:
        count: how far.
        pause_s: seconds for each number.
    """

    def __init__(self, count: int = 3, pause_s: float = 0.0) -> None:
        self.count = count
        self.pause_s = pause_s

    def run(self, context):
        found = context.map(self.one, range(self.count), name="numbers")
        return {"sum": sum(found)}

    def one(self, number):
        if Path("fail").exists():
            raise ValueError("one too many")
        time.sleep(self.pause_s)
        return number
'''


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    (tmp_path / "counting.py").write_text(PROCEDURE)
    (tmp_path / "counting.yaml").write_text(JOB)
    return tmp_path / "counting.yaml"


def test_from_validation_to_the_list(counting: Path, call: Callable[..., Any]) -> None:
    checked = call("validate", "counting.yaml")
    assert checked.status == 0, checked.err
    assert "procedure: counting.py:Counting" in checked.out
    assert "it has not been run yet" in checked.out
    first = call("run", "counting.yaml")
    assert first.status == 0, first.err
    assert "3 steps" in first.out
    assert "sum  3" in first.out
    assert "tasks: in this process" in first.err
    again = call("run", "counting.yaml", "--json")
    assert again.json["metrics"] == {"sum": 3.0}
    assert "nothing was done; --fresh starts anew" in again.err
    assert call("run", "counting.yaml", "--fresh", "--json").json["run"].endswith(".2")
    listed = call("runs", "--json").json["runs"]
    assert [(run["status"], run["steps"]) for run in listed] == [("finished", 3)] * 2
    shown = call("show", "procedures/counting.py:Counting")
    assert "how far" in shown.out
    assert "kind: procedure" in shown.out


def test_a_failure_says_how_to_go_on(counting: Path, call: Callable[..., Any]) -> None:
    Path("fail").touch()
    failed = call("run", "counting.yaml", "--json")
    assert failed.status == 1
    assert failed.json["status"] == "failed"
    assert "item 0 of numbers (0) failed: ValueError: one too many" in failed.err
    assert "counting.py" in failed.err
    Path("fail").unlink()
    assert call("run", "counting.yaml").status == 0


def test_mistakes_have_their_place(counting: Path, call: Callable[..., Any]) -> None:
    counting.write_text(JOB.replace("count: 3", "cuont: 3"))
    said = call("validate", "counting.yaml")
    assert said.status == 2
    assert "counting.yaml:3: procedure.cuont" in said.err
    assert "nearest: count" in said.err
    counting.write_text(JOB)
    assert call("run", "counting.yaml", "--resume", "x").status == 2


def test_ctrl_c_keeps_what_is_recorded(counting: Path, tmp_path: Path) -> None:
    slow = ("-s", "procedure.pause_s=0.4", "-s", "procedure.count=20")
    command = Command("run", "counting.yaml", *slow, "--json", folder=tmp_path)
    try:
        recorded = lambda: len(list(tmp_path.glob("runs/*/steps/*.json")))  # noqa: E731
        command.until(lambda: recorded() >= 2, "steps were recorded")
        command.send(signal.SIGINT)
        assert command.wait() == 130
        assert '"status": "interrupted"' in command.output
        assert f"with {recorded()} steps recorded" in command.errors
        assert "continue with: " in command.errors
        assert "procedure.count=20" in command.errors
    finally:
        command.end()


def _started() -> Any:
    spec = SimpleNamespace(procedure=SimpleNamespace(name="attack"))
    plan = SimpleNamespace(summary=["procedure: attack"], job=SimpleNamespace(spec=spec))
    folder = SimpleNamespace(url="/runs/attack-1234")
    return SimpleNamespace(plan=plan, folder=folder, num_recorded=4)


PROGRESS = {
    "step": 7,
    "total_steps": 9,
    "done": 3,
    "total": 5,
    "what": "items",
    "metrics": {"a": 1},
}


def test_the_picture_follows_the_steps() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with LiveSteps(console, "attack.yaml") as view:
        view.started(_started())
        console.print(view._render())
        view.show(PROGRESS)
        console.print(view._render())
        view.show({**PROGRESS, "stopping": True})
        console.print(view._render())
    text = stream.getvalue()
    assert "run attack-1234, going on after 4 steps, in /runs/attack-1234" in text
    assert "running attack" in text
    assert "items 3/5, 7 steps, a 1" in text
    assert "stopping: what is under way is being finished" in text


def test_lines_in_a_log_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(sys.modules[StepLines.__module__].time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    view = StepLines(Console(file=stream, width=200))
    view.started(_started())
    for second in range(12):
        now[0] = float(second)
        view.show({**PROGRESS, "done": second})
        view.show({**PROGRESS, "done": second})
    lines = stream.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "run attack-1234",
        "items 5/5",
        "items 10/5",
    ]
