"""What the command line shows of a sweep: on terminals of all widths, in a log, and at its end."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from trainwright.cli import lines
from trainwright.cli.sweeps import best_table, failures, next_steps, verdict
from trainwright.cli.trials import LiveTrials, TrialLines, in_words, short_names
from trainwright.search.goals import Goal, Judge
from trainwright.search.results import Sweep, TrialRow, so_far
from trainwright.search.space.space import Space
from trainwright.search.trials import Trial
from trainwright.storage import Folder

SPACE = Space.parse(
    {
        "optimizer.lr": {"loguniform": [1e-4, 1.0]},
        "objective": {"choice": ["cross_entropy", {"name": "z_loss", "a": {"uniform": [0, 2]}}]},
    }
)
VALUES = {"optimizer.lr": 0.012345678, "objective": "z_loss", "objective[z_loss].a": 1.5}
ACCURACY = Goal("validation/accuracy", highest=True)


def started(total: int, kept: int = 0) -> Any:
    spec = SimpleNamespace(algorithm=SimpleNamespace(name="tpe"), scheduler=None)
    plan = SimpleNamespace(
        space=SPACE,
        judge=Judge((ACCURACY,)),
        total_trials=total,
        job=SimpleNamespace(spec=spec),
    )
    return SimpleNamespace(plan=plan, folder=Folder("/kept/rates-01234567"), num_kept=kept)


def trials(finished: int, running: int) -> list[Trial]:
    ended = [
        Trial(n, VALUES, "finished", step=138, metrics={"validation/accuracy": n / 1000})
        for n in range(finished)
    ]
    more = [
        Trial(n, VALUES, "running", metrics={"validation/accuracy": 0.5})
        for n in range(finished, finished + running)
    ]
    return ended + more


def terminal(width: int, height: int = 24) -> Console:
    return Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
    )


def frame(console: Console, view: LiveTrials) -> list[str]:
    with console.capture() as captured:
        console.print(view._render())
    return captured.get().rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_hundreds_of_trials_fit_a_terminal(width: int) -> None:
    console = terminal(width, height=20)
    view = LiveTrials(console, "s.yaml")
    view.started(started(800))
    posted = {300 + n: {"step": 69, "total_steps": 138} for n in range(40)}
    view.show({"trials": trials(300, 40), "posted": posted})
    lines = frame(console, view)
    assert len(lines) <= 20
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    # Those that run with their step and newest value, then the best, then how far it is.
    assert lines[1].split()[:4] == ["▸", "300", "69/138", "0.5"]
    assert "✓ 299" in text
    assert "0.299" in text
    assert "▸ 32 more" in text
    assert "300/800 trials" in text
    assert "40 running, 300 finished" in text
    assert "lr=0.01235" in text


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=240)
    view = TrialLines(console)
    view.started(started(8, kept=1))
    view.show({"trials": trials(3, 1)})
    now[0] += lines.SECONDS_BETWEEN_LINES
    view.show({"trials": trials(5, 2)})
    view.show({"trials": trials(6, 2)})  # too soon after the last line
    view.show({"trials": trials(6, 2), "stopping": True})
    view.show({"remark": "trial 3 failed: [no] markup"})
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "sweep rates-01234567: 8 trials by tpe, 1 of them ended already, in /kept/rates-01234567",
        "5 of 8 trials ended: 2 running, 5 finished; 0:04 left; best validation/accuracy 0.004 by "
        "trial 4 (lr=0.01235 objective=z_loss a=1.5)",
        "stopping: checkpoints are being written; Ctrl-C again ends at once",
        "note: trial 3 failed: [no] markup",
    ]


def row(number: int, state: str = "finished", **changes: Any) -> TrialRow:
    values = {"validation/accuracy": number / 100} if state == "finished" else {}
    known = {"assignment": VALUES, "values": values, "run": f"r-{number}", "error": ""}
    return TrialRow(number, state, steps=10, seconds=1.0, **{**known, **changes})


def sweep(rows: list[TrialRow], storage: str = "/kept/rates-0", **changes: Any) -> Sweep:
    best = sorted((r.number for r in rows if r.state == "finished"), reverse=True)
    known: dict[str, Any] = {"status": "finished", "metrics": {}, "steps": len(rows)}
    known |= {"goals": {"validation/accuracy": "max"}, "best": best}
    return Sweep(
        run="rates-0",
        storage=storage,
        mlflow_run_id=None,
        seconds=61.0,
        trials=rows,
        **{**known, **changes},
    )


def printed(found: Sweep, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(best_table(found, console))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_best_have_a_column_for_each_parameter() -> None:
    lines = printed(sweep([row(n) for n in range(12)]), 80)
    assert lines[0].split() == ["trial", "validation/accuracy", "↑", "lr", "objective", "a"]
    assert lines[1].split() == ["11", "0.11", "0.01235", "z_loss", "1.5"]
    assert lines[-1] == "and 2 more, see trials.csv"


def test_many_parameters_are_told_in_words() -> None:
    many = {f"model.option_{n}": n / 7 for n in range(20)}
    lines = printed(sweep([row(3, assignment=many)]), 80)
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert text.startswith("trial validation/accuracy ↑ values 3 0.03 option_0=0 option_1=0.1429")
    assert "option_19=2.714" in text


def test_failures_alike_are_told_once() -> None:
    rows = [row(n, "failed", error=f"ValueError: {n}.5 is too large") for n in range(40)]
    rows += [row(40, "refused", error="out of range"), row(41)]
    found = sweep(rows)
    assert list(failures(found)) == [
        (
            "failed",
            "40 trials (0, 1, 2, 3, 4, 5, ...): ValueError: 0.5 is too large "
            "(lr=0.01235 objective=z_loss a=1.5)",
        ),
        ("refused", "trial 40: out of range (lr=0.01235 objective=z_loss a=1.5)"),
    ]
    expected = "finished: rates-0  42 trials: 1 finished, 40 failed, 1 refused; took 1 min 01 s"
    assert verdict(found, "").plain == expected


def test_what_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pytest"])
    folder = tmp_path / "runs/rates-0"
    folder.mkdir(parents=True)
    (folder / "best.yaml").touch()
    assert dict(next_steps(sweep([row(7)], str(folder)))) == {
        "trials": "runs/rates-0/trials.csv",
        "best job": "trainwright run runs/rates-0/best.yaml",
        "weights": "trainwright export r-7",
    }


def test_short_names_keep_what_tells_them_apart() -> None:
    names = short_names(["optimizer.lr", "model.a", "objective[z_loss].a"])
    assert list(names.values()) == ["lr", "model.a", "objective[z_loss].a"]
    assert in_words({"optimizer.lr": 1e-5, "model.a": None}, names) == "lr=1e-05 model.a=None"


def test_how_far_an_interrupted_sweep_came() -> None:
    rows = [row(1), row(2), row(3, "stopped"), row(4, "interrupted"), row(5, "waiting")]
    found = sweep(rows, metrics={}, status="interrupted", steps=3)
    told = "with 3 of 9 trials ended; 1 on the way, with checkpoints; "
    assert so_far(found, 9) == told + "best so far: validation/accuracy 0.02 by trial 2"
    assert so_far(sweep([], steps=0), None) == "with 0 trials ended"
