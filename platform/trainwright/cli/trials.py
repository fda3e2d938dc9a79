"""Watching a sweep: a table of its trials on a terminal, a line now and then in a log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from trainwright.cli.lines import Lines
from trainwright.cli.picture import STOPPING, Picture
from trainwright.cli.words import number
from trainwright.search.trials import Trial
from trainwright.times import clock

if TYPE_CHECKING:
    from trainwright.search.plan import Plan
    from trainwright.search.running import StartedSweep

MOST_SHOWN = 12
"""Trials in the live table: those that run, and the best of the others."""

LINES_AROUND = 6
"""Lines of a terminal that the table leaves for its head, the bar, the counts and the shell."""

CLOSING = "drawing pictures, closing the records"

MARKS = {
    "running": ("▸", "cyan"),
    "finished": ("✓", "green"),
    "stopped": ("■", "yellow"),
    "failed": ("✗", "red"),
    "refused": ("–", "red"),
    "interrupted": ("‖", "yellow"),
    "waiting": ("·", "dim"),
}
"""State -> its mark and colour, in the order in which states are counted."""


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Parameter -> the end of its name that no other one has: ``lr`` for ``optimizer.lr``."""
    known = list(names)
    ends = Counter(name.rpartition(".")[2] for name in known)
    return {n: end if ends[end := n.rpartition(".")[2]] == 1 else n for n in known}


def cell(value: Any) -> str:
    """A parameter's value in a few signs."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def in_words(assignment: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """``lr=0.1 objective=z_loss``: an assignment, parameters by their short names."""
    return " ".join(f"{names.get(n, n)}={cell(value)}" for n, value in assignment.items())


def counted(states: Iterable[str]) -> Counter[str]:
    """State -> number of trials, in the order of ``MARKS``."""
    found = Counter(states)
    return Counter({state: found[state] for state in MARKS if found[state]})


class SweepProgress:
    """The newest state of all trials."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trials: list[Trial] = []
        self._posted: dict[int, Mapping[str, Any]] = {}
        self._began = time.monotonic()
        self._first = 0
        self.plan: Plan | None = None
        self.names: dict[str, str] = {}
        self.total = 0
        self.stopping = False

    def begin(self, started: StartedSweep) -> None:
        """The sweep is known."""
        self.plan, self._first = started.plan, started.num_kept
        self.names = short_names(p.name for p in started.plan.space.parameters)
        self.total = started.plan.total_trials or 0
        self._began = time.monotonic()

    def update(self, progress: Mapping[str, Any]) -> None:
        """Take what is new."""
        with self._lock:
            self._trials = list(progress.get("trials", self._trials))
            self._posted.update(progress.get("posted", {}))
            self.stopping = bool(progress.get("stopping", self.stopping))

    @property
    def trials(self) -> list[Trial]:
        """All trials."""
        with self._lock:
            return list(self._trials)

    @property
    def num_done(self) -> int:
        """Trials that have ended."""
        return sum(trial.has_ended for trial in self.trials)

    @property
    def is_complete(self) -> bool:
        """Whether all trials have ended, as far as their number is known."""
        return bool(self.total) and self.num_done >= self.total

    def seconds_left(self) -> float | None:
        """From the mean time of a trial so far, once two have ended."""
        done = self.num_done - self._first
        if done < 2 or not self.total or self.is_complete:
            return None
        return (self.total - self.num_done) * (time.monotonic() - self._began) / done

    def counts(self) -> Counter[str]:
        """State -> number of trials."""
        return counted(trial.state for trial in self.trials)

    def ranked(self) -> list[Trial]:
        """The trials that have values, best first."""
        return [] if self.plan is None else self.plan.judge.ranked(self.trials)

    def shown(self, most: int) -> tuple[list[Trial], int]:
        """The trials for a table of ``most`` rows, and how many running ones have no room."""
        running = [trial for trial in self.trials if trial.state == "running"]
        ranked = [trial for trial in self.ranked() if trial.state != "running"]
        room = max(most - min(len(ranked), most // 3), 1)
        kept = running[:room]
        return [*kept, *ranked[: most - len(kept)]], len(running) - len(kept)

    def way(self, trial: Trial) -> str:
        """How far a running trial is: ``69/138``; of another one how far it came."""
        posted = self._posted.get(trial.number, {}) if trial.state == "running" else {}
        step, total = posted.get("step"), posted.get("total_steps")
        if step is not None and total:
            return f"{step}/{total}"
        return str(trial.step or "")

    def best(self) -> str:
        """The best trial so far, in words."""
        best = next(iter(self.ranked()), None)
        if best is None or self.plan is None:
            return ""
        goal = self.plan.judge.first
        value = goal.of(best)
        told = "" if value is None else number(value)
        where = in_words(best.assignment, self.names)
        return f"best {goal.name} {told} by trial {best.number} ({where})"


class TrialLines(Lines[SweepProgress]):
    """A line at the start and one every few seconds when trials have ended."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, SweepProgress(), STOPPING)

    @override
    def _headline(self, started: StartedSweep) -> str:
        return headline(started)

    @override
    def _line(self, state: SweepProgress) -> str:
        left = state.seconds_left()
        tally = ", ".join(f"{count} {name}" for name, count in state.counts().items())
        parts = [f"{state.num_done} of {state.total or '?'} trials ended: {tally}"]
        parts += [f"{clock(left)} left"] if left else []
        parts += [state.best()] if state.best() else []
        return "; ".join(parts)


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
        self._spinner.update(text=Text("starting the processes that run trials"))
        self._has_started = True
        self._console.print(Text(headline(started), style="bold"), soft_wrap=True)

    @override
    def _take(self, progress: Mapping[str, Any]) -> None:
        self._progress.update(progress)

    @override
    def _render(self) -> RenderableType:
        state = self._progress
        counts = state.counts()
        if not self._has_started or not counts or counts.keys() == {"waiting"}:
            return self._spinner
        doing = STOPPING if state.stopping else CLOSING if state.is_complete else None
        if doing is not None:
            self._spinner.update(text=Text(doing, no_wrap=True, overflow="ellipsis"))
            return Group(self._table(), self._bar(counts), self._spinner)
        best = Text(state.best(), style="dim", no_wrap=True, overflow="ellipsis")
        return Group(self._table(), self._bar(counts), best)

    def _table(self) -> RenderableType:
        state = self._progress
        assert state.plan is not None
        goals = state.plan.judge.goals
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
        table.add_column("trial", no_wrap=True)
        table.add_column("step", no_wrap=True, justify="right")
        for goal in goals:
            head = f"{goal.name} {'↑' if goal.highest else '↓'}"
            table.add_column(head, no_wrap=True, justify="right", overflow="ellipsis")
        table.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
        rows, more = state.shown(max(3, min(MOST_SHOWN, self._console.height - LINES_AROUND)))
        for trial in rows:
            mark, style = MARKS[trial.state]
            values = [goal.of(trial) for goal in goals]
            table.add_row(
                Text(f"{mark} {trial.number}", style=style),
                Text(state.way(trial), style="dim"),
                *("" if value is None else number(value) for value in values),
                Text(in_words(trial.assignment, state.names), style="dim"),
            )
        if more:
            table.add_row(Text(f"▸ {more} more", style="cyan"))
        return table

    def _bar(self, counts: Counter[str]) -> RenderableType:
        state = self._progress
        left = state.seconds_left()
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1, min_width=4)
        row.add_column(no_wrap=True, justify="right")
        total = state.total or len(state.trials)
        row.add_row(
            Text(f"{state.num_done}/{state.total or '?'} trials", style="bold"),
            ProgressBar(total=total, completed=state.num_done, complete_style="cyan"),
            Text.assemble(
                *_tally(counts), (f"  {clock(left)} left" if left is not None else "", "dim")
            ),
        )
        return row


def _tally(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """``2 running, 3 finished``, each in the colour of its state."""
    for index, (state, count) in enumerate(counts.items()):
        yield f"{', ' if index else ''}{count} {state}", MARKS[state][1]


def headline(started: StartedSweep) -> str:
    """The sweep's name, what it consists of, and where it is kept."""
    from trainwright.overview import shown

    plan, spec = started.plan, started.plan.job.spec
    kept = f", {started.num_kept} of them ended already" if started.num_kept else ""
    total = plan.total_trials
    trials = f"{total} trials" if total is not None else "trials"
    by = f"{spec.algorithm.name}{f' and {spec.scheduler.name}' if spec.scheduler else ''}"
    return f"sweep {started.folder.name}: {trials} by {by}{kept}, in {shown(started.folder.url)}"
