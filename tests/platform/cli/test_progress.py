"""Progress: what is taken from a run's values, the time left, and the lines of a log."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from trainwright.cli.progress import TrainingProgress
from trainwright.cli.views import LineView, LiveView, SilentView, headline, make_view
from trainwright.job.cluster_spec import ClusterSpec
from trainwright.storage import Folder


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def at(step: int, total: int = 100, **more: Any) -> dict[str, Any]:
    return {"step": step, "total_steps": total, "loss": 0.5, "samples_per_second": 1234.5, **more}


def test_the_time_left_comes_from_the_pace_so_far() -> None:
    clock = Clock()
    progress = TrainingProgress(clock=clock)
    progress.update(at(1))
    assert progress.seconds_left() is None
    clock.now += 20
    progress.update(at(11))
    assert progress.seconds_left() == pytest.approx(2 * 89)
    clock.now += 4
    assert progress.seconds_left() == pytest.approx(2 * 89 - 4)
    progress.update(at(11))
    assert progress.seconds_left() == pytest.approx(2 * 89 - 4)


def test_a_resumed_run_is_judged_by_its_own_steps() -> None:
    clock = Clock()
    progress = TrainingProgress(clock=clock)
    progress.update(at(60))
    clock.now += 10
    progress.update(at(70))
    assert progress.seconds_left() == pytest.approx(30)


def test_after_lost_workers_the_pace_is_taken_anew() -> None:
    clock = Clock()
    progress = TrainingProgress(clock=clock)
    progress.update(at(50))
    clock.now += 1000
    progress.update(at(40))
    clock.now += 10
    progress.update(at(50))
    assert progress.seconds_left() == pytest.approx(50)


def test_an_unfinished_update_never_gives_a_negative_time() -> None:
    clock = Clock()
    progress = TrainingProgress(clock=clock)
    progress.update(at(90))
    clock.now += 10
    progress.update(at(95))
    clock.now += 1000
    assert progress.seconds_left() == 0


def test_an_evaluation_is_noticed_once() -> None:
    progress = TrainingProgress()
    assert not progress.update(at(1))
    assert progress.update(at(2, metrics={"validation/loss": 1.0}))
    assert not progress.update(at(3, metrics={"validation/loss": 1.0}))
    assert progress.update(at(4, metrics={"validation/loss": 0.9}))


def test_partial_values_leave_the_others() -> None:
    progress = TrainingProgress()
    progress.update(at(5, metrics={"a": 1.0}))
    progress.update({"remark": "worker 1 was lost"})
    progress.update({"stopping": True})
    assert (progress.step, progress.total, progress.loss) == (5, 100, 0.5)
    assert progress.metrics == {"a": 1.0}
    assert progress.stopping


def test_complete() -> None:
    progress = TrainingProgress()
    assert not progress.is_complete
    progress.update(at(100))
    assert progress.is_complete
    assert progress.share == 1


def _started(continues: bool = False, resumed_from: str | None = None) -> Any:
    spec = SimpleNamespace(cluster=ClusterSpec(workers=2))
    prepared = SimpleNamespace(
        summary=["data: 10 samples", "training: 100 updates"],
        remarks=["dropout: each worker draws its own masks " * 3],
        job=SimpleNamespace(spec=spec),
    )
    return SimpleNamespace(
        prepared=prepared,
        folder=Folder(str(Path.cwd() / "runs" / "tiny-1.2")),
        continues=continues,
        resumed_from=resumed_from,
    )


def _written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_headline_says_how_a_run_begins() -> None:
    assert headline(_started()) == "run tiny-1.2, in runs/tiny-1.2"
    assert "going on from an earlier attempt" in headline(_started(continues=True))
    assert "continued from a-1@20" in headline(_started(continues=True, resumed_from="a-1@20"))


def test_a_log_gets_a_line_at_most_every_few_seconds_and_only_with_an_evaluation() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), width=200)
    with LineView(console, clock) as view:
        clock.now += 60
        view.started(_started())
        for step in range(1, 41):
            clock.now += 1
            evaluated = {"metrics": {"validation/loss": 1 / (step // 4 + 1)}} if step >= 4 else {}
            view.show(at(step, **evaluated))
    lines = _written(console).splitlines()
    assert lines[0] == "run tiny-1.2, in runs/tiny-1.2; training: 100 updates"
    steps = [int(line.split()[1].partition("/")[0]) for line in lines[1:]]
    assert steps == [8, 16, 24, 32, 40]
    assert lines[1] == (
        "step 8/100 (8%), loss 0.5, 1,234 samples/s, validation/loss 0.3333, 1:32 left"
    )


def test_a_log_tells_remarks_and_a_request_to_stop_once() -> None:
    console = Console(file=io.StringIO(), width=200)
    with LineView(console) as view:
        view.show({"remark": "worker 1 was lost; restarting from the last checkpoint"})
        view.show(at(3, stopping=True))
        view.show(at(4, stopping=True))
    text = _written(console)
    assert text.count("note: worker 1 was lost") == 1
    assert text.count("stopping: a checkpoint is being written") == 1


def test_brackets_in_a_name_are_no_markup() -> None:
    console = Console(file=io.StringIO(), width=200)
    with LineView(console) as view:
        view.show({"remark": "[bold]not bold[/bold]"})
    assert "[bold]not bold[/bold]" in _written(console)


def _terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def test_the_view_fits_the_console() -> None:
    pipe = Console(file=io.StringIO())
    assert isinstance(make_view(pipe, "job.yaml", quiet=False), LineView)
    assert isinstance(make_view(_terminal(), "job.yaml", quiet=False), LiveView)
    assert isinstance(make_view(_terminal(), "job.yaml", quiet=True), SilentView)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_is_never_wider_than_the_terminal(width: int) -> None:
    console = _terminal(width)
    view = LiveView(console, "job.yaml")
    view.started(_started())
    for progress in (
        {},
        at(1),
        at(50, metrics={f"validation/a-long-name-{i}": 0.123456 for i in range(9)}),
        at(60, stopping=True),
        at(100, stopping=False),
    ):
        view.show(progress)
        picture = console.render_lines(view._render(), pad=False)
        assert len(picture) <= 2
        assert all(sum(segment.cell_length for segment in line) <= width for line in picture)
    shown = [line for line in _written(console).splitlines() if "note" in line or "draws" in line]
    assert all(len(line.rstrip()) <= width for line in shown)
