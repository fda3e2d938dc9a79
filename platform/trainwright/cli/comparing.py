"""How a comparison looks on the command line: all runs while it goes on, then the tables."""

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

from trainwright.cli.lines import Lines
from trainwright.cli.picture import STOPPING, Picture
from trainwright.cli.screens import tell_places
from trainwright.cli.views import SilentView, View
from trainwright.cli.words import duration, number
from trainwright.times import clock

if TYPE_CHECKING:
    from trainwright.cli.reporting import Report
    from trainwright.compare.results import Comparison
    from trainwright.compare.running import StartedComparison
    from trainwright.job import Job

_MARKS = {
    "waiting": ("·", "dim"),
    "running": ("▸", "cyan"),
    "finished": ("✓", "green"),
    "kept": ("✓", "dim green"),
    "interrupted": ("‖", "yellow"),
    "failed": ("✗", "red"),
}


class CompareScreen:
    """A comparison: one line for each variant, then what was found."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def view(self, console: Console, label: str, quiet: bool) -> View:
        """Live on a terminal, a few lines in a log."""
        if quiet:
            return SilentView()
        return LiveTable(console, label) if console.is_terminal else CountingLines(console)

    def tell(self, report: Report, result: Any) -> None:
        """Both tables, the expectations, and where everything lies."""
        found: Comparison = result
        report.out.print(value_table(found))
        report.out.print()
        report.out.print(cost_table(found))
        report.out.print()
        for line in expectation_lines(found):
            report.out.print(line, soft_wrap=True)
        for cost in found.costs:
            for seed, why in cost.failed.items():
                report.error(f"{why} (run {cost.runs[seed]})", f"{cost.variant}, seed {seed}")
        title = verdict(found)
        (report.err if report.as_json else report.out).print(title, soft_wrap=True)
        tell_places(report, found)


def verdict(result: Comparison) -> Text:
    """One line: how many expectations hold, and whether that is as it should be."""
    held = sum(judgement.holds for judgement in result.expectations)
    said = f"{held} of {len(result.expectations)} expectations hold"
    took = "judged again, nothing was trained" if result.already_finished else "took "
    took += "" if result.already_finished else duration(result.seconds)
    if result.placebo:
        noticed = "noticed the missing method" if not result.holds else "did not notice"
        said = f"placebo: {said}, so that they {noticed}"
    word, style = ("good", "bold green") if result.exit_status == 0 else ("not met", "bold red")
    if result.status != "finished":
        word = result.status
    return Text.assemble((f"{word}: ", style), (result.run, "bold"), f"  {said}; {took}")


def value_table(result: Comparison) -> RenderableType:
    """Means, intervals and paired differences."""
    from trainwright.compare.tables import value_header, value_rows

    return _table(value_header(result), list(value_rows(result)), numeric=(2, 3, 4, 5))


def cost_table(result: Comparison) -> RenderableType:
    """What the runs took."""
    from trainwright.compare.tables import COST_HEADER, cost_rows

    return _table(COST_HEADER, list(cost_rows(result)), numeric=(2, 3, 4))


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int]
) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, no_wrap=True, justify="right" if index in numeric else "left")
    for row in rows:
        table.add_row(*row)
    return table


def expectation_lines(result: Comparison) -> Iterator[Text]:
    """Each expectation, ticked or not, with what was found."""
    from trainwright.compare.tables import judgement_text

    for judgement in result.expectations:
        mark, style = _MARKS["finished" if judgement.holds else "failed"]
        found = Text(f"  ({judgement_text(judgement)})", style="dim")
        yield Text.assemble((f"{mark} ", style), judgement.line, found)


class ComparisonProgress:
    """The newest state of all runs, variant by variant."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._order: dict[str, list[str]] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self.step = 0
        self.total = 0
        self.stopping = False
        self._began = time.monotonic()
        self._first: int | None = None

    def begin(self, started: StartedComparison) -> None:
        """The runs are known."""
        variants = started.plan.variants
        self._order = {name: [run.name for run in runs.values()] for name, runs in variants.items()}

    def update(self, progress: Mapping[str, Any]) -> None:
        """Take what is new."""
        with self._lock:
            self._runs = {name: dict(run) for name, run in progress.get("runs", {}).items()}
            self.step = int(progress.get("step", self.step))
            self.total = int(progress.get("total_steps", self.total))
            self.stopping = bool(progress.get("stopping", self.stopping))
            if self._first is None:
                self._first, self._began = self.step, time.monotonic()

    @property
    def num_done(self) -> int:
        """Runs that are complete."""
        return sum(run["state"] in ("finished", "kept") for run in self._runs.values())

    @property
    def num_runs(self) -> int:
        """All runs."""
        return len(self._runs)

    def seconds_left(self) -> float | None:
        """From the mean time of an update so far, once that is settled."""
        if self._first is None or self.step - self._first < 0.03 * self.total:
            return None
        pace = (time.monotonic() - self._began) / (self.step - self._first)
        return (self.total - self.step) * pace

    def lines(self) -> Iterator[tuple[str, Text, str, str]]:
        """Variant, a mark for each seed, how many are done, the mean of a metric over them."""
        with self._lock:
            runs = dict(self._runs)
        for variant, names in self._order.items():
            states = [runs.get(name, {"state": "waiting", "metrics": {}}) for name in names]
            marks = Text.assemble(*(_MARKS[state["state"]] for state in states))
            done = sum(state["state"] in ("finished", "kept") for state in states)
            yield variant, marks, f"{done}/{len(names)}", _mean_metric(states)


def _mean_metric(states: Sequence[Mapping[str, Any]]) -> str:
    """The most telling metric, averaged over the runs that have it."""
    from trainwright.cli.words import importance

    names = sorted({name for state in states for name in state["metrics"]}, key=importance)
    if not names:
        return ""
    values = [state["metrics"][names[0]] for state in states if names[0] in state["metrics"]]
    return f"{names[0]} {number(sum(values) / len(values))}"


class CountingLines(Lines[ComparisonProgress]):
    """A line at the start and one every few seconds when runs have ended."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, ComparisonProgress(), STOPPING)

    @override
    def _headline(self, started: StartedComparison) -> str:
        return headline(started)

    @override
    def _line(self, state: ComparisonProgress) -> str:
        return _how_far(state)


class LiveTable(Picture):
    """A table at the bottom of a terminal that follows all runs."""

    def __init__(self, console: Console, label: str) -> None:
        self._progress = ComparisonProgress()
        self._spinner = Spinner("dots", text=Text(f"checking {label}"), style="cyan")
        self._has_started = False
        super().__init__(console, refresh_per_second=4)

    def started(self, started: StartedComparison) -> None:
        """Print what will be compared, above the picture."""
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
        for variant, marks, done, metric in state.lines():
            table.add_row(Text(variant, style="bold"), marks, done, Text(metric, style="dim"))
        text = STOPPING if state.stopping else _how_far(state)
        self._spinner.update(text=Text(text, style="dim"))
        return Group(table, self._spinner)


def _how_far(state: ComparisonProgress) -> str:
    left = state.seconds_left()
    rest = f", {clock(left)} left" if left else ""
    return f"{state.num_done} of {state.num_runs} runs finished{rest}"


def headline(started: StartedComparison) -> str:
    """The comparison's name, what it consists of, and where it is kept."""
    from trainwright.overview import shown

    plan = started.plan
    kept = f", {started.num_kept} of them finished already" if started.num_kept else ""
    what = "placebo comparison" if plan.placebo else "comparison"
    name = started.folder.url.rstrip("/").rsplit("/", 1)[-1]
    return (
        f"{what} {name}: {len(plan.variants)} variants x {len(plan.job.spec.seed_list)} seeds, "
        f"{len(plan.runs)} runs{kept}, in {shown(started.folder.url)}"
    )
