"""How a sweep looks on the command line: its trials while it goes on, then the best of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from trainwright.cli.picture import Picture
from trainwright.cli.screens import tell_places
from trainwright.cli.views import SilentView, View
from trainwright.cli.words import clock, command, duration, number
from trainwright.search.trials import Trial, labelled
from trainwright.storage import Folder

if TYPE_CHECKING:
    from trainwright.cli.reporting import Report
    from trainwright.job import Job
    from trainwright.search.plan import Plan
    from trainwright.search.results import Sweep, TrialRow
    from trainwright.search.running import StartedSweep

SECONDS_BETWEEN_LINES = 5.0
MOST_SHOWN = 10
"""Trials in the live table: those that run, and the best of the others."""

_MARKS = {
    "waiting": ("·", "dim"),
    "running": ("▸", "cyan"),
    "finished": ("✓", "green"),
    "stopped": ("■", "dim yellow"),
    "interrupted": ("‖", "yellow"),
    "refused": ("–", "dim red"),
    "failed": ("✗", "red"),
}


class SweepScreen:
    """A sweep: what runs and what is best so far, then the best trials."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def view(self, console: Console, label: str, quiet: bool) -> View:
        """Live on a terminal, a few lines in a log."""
        if quiet:
            return SilentView()
        return LiveTrials(console, label) if console.is_terminal else TrialLines(console)

    def tell(self, report: Report, result: Any) -> None:
        """The best trials, what failed, and where everything lies."""
        found: Sweep = result
        report.out.print(best_table(found))
        report.out.print()
        for row in found.trials:
            if row.state in ("failed", "refused"):
                report.error(f"{row.error} ({labelled(row.assignment)})", f"trial {row.number}")
        title = verdict(found)
        (report.err if report.as_json else report.out).print(title, soft_wrap=True)
        tell_places(report, found)
        for label, text in next_commands(Folder(found.storage)):
            report.out.print(Text.assemble((f"  {label:<12}", "dim"), text), soft_wrap=True)


def next_commands(folder: Folder) -> Iterator[tuple[str, str]]:
    """Label and command of the jobs that a sweep left to be run."""
    from trainwright.overview import shown
    from trainwright.search.best import BEST, TRANSFERRED

    for label, name in (("best job", BEST), ("transferred", TRANSFERRED)):
        if folder.exists(name):
            yield label, command("trainwright", "run", f"{shown(folder.url)}/{name}")


def verdict(result: Sweep) -> Text:
    """One line: how many trials ended how, and how long it took."""
    counts = ", ".join(f"{count} {state}" for state, count in result.counts().items())
    took = "nothing was run" if result.already_finished else f"took {duration(result.seconds)}"
    good = result.exit_status == 0
    word, style = ("finished", "bold green") if good else ("no trial finished", "bold red")
    return Text.assemble((f"{word}: ", style), (result.run, "bold"), f"  {counts}; {took}")


def best_table(result: Sweep, most: int = MOST_SHOWN) -> RenderableType:
    """The best trials with their values; of several goals the Pareto front."""
    rows = {row.number: row for row in result.trials}
    best = [rows[n] for n in result.best[:most]]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("trial", justify="right")
    for name, goal in result.goals.items():
        table.add_column(f"{name} {'↑' if goal == 'max' else '↓'}", justify="right", no_wrap=True)
    for name in _varied(best):
        table.add_column(name)
    for row in best:
        table.add_row(str(row.number), *_goal_cells(row, result), *_value_cells(row, best))
    return table


def _varied(rows: Sequence[TrialRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.assignment))


def _goal_cells(row: TrialRow, result: Sweep) -> list[str]:
    return [number(row.values[n]) if n in row.values else "" for n in result.goals]


def _value_cells(row: TrialRow, rows: Sequence[TrialRow]) -> list[str]:
    return [_cell(row.assignment.get(name, "")) for name in _varied(rows)]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class SweepProgress:
    """The newest state of all trials."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._trials: list[Trial] = []
        self._posted: Mapping[int, Mapping[str, Any]] = {}
        self.total = 0
        self.stopping = False
        self._began = time.monotonic()
        self._first = 0

    def begin(self, started: StartedSweep) -> None:
        """The sweep is known."""
        self._plan, self._first = started.plan, started.num_kept
        self.total = started.plan.total_trials or 0
        self._began = time.monotonic()

    def update(self, progress: Mapping[str, Any]) -> None:
        """Take what is new."""
        with self._lock:
            self._trials = list(progress.get("trials", self._trials))
            self._posted = progress.get("posted", self._posted)
            self.stopping = bool(progress.get("stopping", self.stopping))

    @property
    def num_done(self) -> int:
        """Trials that have ended."""
        with self._lock:
            return sum(trial.has_ended for trial in self._trials)

    def seconds_left(self) -> float | None:
        """From the mean time of a trial so far, once two have ended."""
        done = self.num_done - self._first
        if done < 2 or not self.total:
            return None
        return (self.total - self.num_done) * (time.monotonic() - self._began) / done

    def best(self) -> str:
        """The best trial so far, in words."""
        ranked = self._ranked()
        if not ranked or self._plan is None:
            return ""
        goal = self._plan.judge.first
        value = goal.of(ranked[0])
        shown = number(value) if value is not None else ""
        return f"best {goal.name} {shown} by trial {ranked[0].number}"

    def lines(self) -> Iterator[tuple[Text, str, str, str]]:
        """Mark, number, value and values of those that run, and of the best others."""
        if self._plan is None:
            return
        goal = self._plan.judge.first
        with self._lock:
            running = [trial for trial in self._trials if trial.state == "running"]
        others = [trial for trial in self._ranked() if trial not in running]
        for trial in [*running, *others][:MOST_SHOWN]:
            mark, style = _MARKS[trial.state]
            value = goal.of(trial)
            shown = self._way(trial) if trial.state == "running" else ""
            told = number(value) if value is not None else ""
            yield (
                Text(f"{mark} {trial.number}", style=style),
                told,
                shown,
                labelled(trial.assignment, most=6),
            )

    def _ranked(self) -> list[Trial]:
        with self._lock:
            return [] if self._plan is None else self._plan.judge.ranked(self._trials)

    def _way(self, trial: Trial) -> str:
        posted = self._posted.get(trial.number, {})
        step, total = posted.get("step"), posted.get("total_steps")
        return f"{step}/{total}" if step is not None and total else ""


class TrialLines:
    """A line at the start and one every few seconds when trials have ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = SweepProgress()
        self._told = time.monotonic()
        self._told_done = 0

    def __enter__(self) -> TrialLines:
        """Nothing is said before the job is good."""
        return self

    def __exit__(self, *error: object) -> None:
        """The command says how it ended."""

    def started(self, started: StartedSweep) -> None:
        """One line: the sweep, how many trials, where."""
        self._progress.begin(started)
        self._told, self._told_done = time.monotonic(), started.num_kept
        self._console.print(headline(started), soft_wrap=True, markup=False)

    def show(self, progress: Mapping[str, Any]) -> None:
        """Say how many trials are done, now and then."""
        if "remark" in progress:
            self._console.print(f"note: {progress['remark']}", soft_wrap=True, markup=False)
        self._progress.update(progress)
        state = self._progress
        due = time.monotonic() - self._told >= SECONDS_BETWEEN_LINES
        if due and state.num_done > self._told_done:
            self._told, self._told_done = time.monotonic(), state.num_done
            text = _how_far(state)
            self._console.print(text, soft_wrap=True, markup=False)


class LiveTrials(Picture):
    """A table at the bottom of a terminal that follows the trials."""

    def __init__(self, console: Console, label: str) -> None:
        self._progress = SweepProgress()
        self._spinner = Spinner("dots", text=Text(f"checking {label}"), style="cyan")
        self._has_started = False
        super().__init__(console, refresh_per_second=4)

    def started(self, started: StartedSweep) -> None:
        """Print what will be tried, above the picture."""
        self._progress.begin(started)
        self._has_started = True
        self._console.print(Text(headline(started), style="bold"), soft_wrap=True)

    @override
    def _take(self, progress: Mapping[str, Any]) -> None:
        self._progress.update(progress)

    @override
    def _render(self) -> RenderableType:
        state = self._progress
        if not self._has_started:
            return self._spinner
        table = Table.grid(padding=(0, 2))
        for mark, value, way, label in state.lines():
            table.add_row(mark, value, Text(way, style="dim"), Text(label, style="dim"))
        text = _how_far(state)
        if state.stopping:
            text = "stopping: checkpoints are being written; Ctrl-C again ends at once"
        self._spinner.update(text=Text(text, style="dim"))
        return Group(table, self._spinner)


def _how_far(state: SweepProgress) -> str:
    left = state.seconds_left()
    parts = [f"{state.num_done} of {state.total or '?'} trials ended"]
    parts += [f"{clock(left)} left"] if left else []
    parts += [state.best()] if state.best() else []
    return ", ".join(parts)


def headline(started: StartedSweep) -> str:
    """The sweep's name, what it consists of, and where it is kept."""
    from trainwright.overview import shown

    plan, spec = started.plan, started.plan.job.spec
    kept = f", {started.num_kept} of them ended already" if started.num_kept else ""
    name = started.folder.url.rstrip("/").rsplit("/", 1)[-1]
    total = plan.total_trials
    trials = f"{total} trials" if total is not None else "trials"
    by = f"{spec.algorithm.name}{f' and {spec.scheduler.name}' if spec.scheduler else ''}"
    return f"sweep {name}: {trials} by {by}{kept}, in {shown(started.folder.url)}"
