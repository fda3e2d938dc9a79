"""How a procedure looks on the command line: its steps while it goes on, then what it found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from trainwright.cli import outcome
from trainwright.cli.picture import Picture
from trainwright.cli.screens import tell_places
from trainwright.cli.terminal import folded
from trainwright.cli.views import SilentView, View
from trainwright.cli.words import metrics

if TYPE_CHECKING:
    from trainwright.cli.reporting import Report
    from trainwright.job import Job
    from trainwright.orchestration.result import RunResult
    from trainwright.procedure.running import StartedProcedure

SECONDS_BETWEEN_LINES = 5.0
_STOPPING = "stopping: what is under way is being finished; Ctrl-C again ends at once"


class ProcedureScreen:
    """A procedure: its progress, then its findings and where everything lies."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def view(self, console: Console, label: str, quiet: bool) -> View:
        """Live on a terminal, a few lines in a log."""
        if quiet:
            return SilentView()
        return LiveSteps(console, label) if console.is_terminal else StepLines(console)

    def tell(self, report: Report, result: RunResult) -> None:
        """The findings; one line on standard error when standard output is for JSON."""
        title = outcome.finished_title(result, report.anew, done="done")
        (report.err if report.as_json else report.out).print(title, soft_wrap=True)
        if result.metrics and not result.already_finished:
            report.out.print(outcome.metrics_table(result.metrics))
        tell_places(report, result)


def headline(started: StartedProcedure) -> str:
    """The run's name, what is recorded already, and where it is kept."""
    from trainwright.overview import shown

    name = started.folder.url.rstrip("/").rsplit("/", 1)[-1]
    kept = f", going on after {started.num_recorded} steps" if started.num_recorded else ""
    return f"run {name}{kept}, in {shown(started.folder.url)}"


def line(progress: Mapping[str, Any]) -> str:
    """How far it is, in words."""
    parts = [f"{progress.get('step', 0)} steps"]
    if "what" in progress:
        parts.insert(0, f"{progress['what']} {progress['done']}/{progress['total']}")
    if progress.get("metrics"):
        parts.append(metrics(progress["metrics"]))
    return ", ".join(parts)


class StepLines:
    """A line at the start and one every few seconds when something was done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = time.monotonic()
        self._said = ""
        self._told_stopping = False

    def __enter__(self) -> StepLines:
        """Nothing is said before the job is good."""
        return self

    def __exit__(self, *error: object) -> None:
        """The command says how it ended."""

    def started(self, started: StartedProcedure) -> None:
        """One line: the run, and what is done with what."""
        self._told = time.monotonic()
        self._say(f"{headline(started)}; {'; '.join(started.plan.summary)}")

    def show(self, progress: Mapping[str, Any]) -> None:
        """Say how far it is, now and then."""
        if progress.get("stopping") and not self._told_stopping:
            self._told_stopping = True
            self._say(_STOPPING)
        said = line(progress)
        if said != self._said and time.monotonic() - self._told >= SECONDS_BETWEEN_LINES:
            self._told, self._said = time.monotonic(), said
            self._say(said)

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)


class LiveSteps(Picture):
    """Two lines at the bottom of a terminal that follow the procedure."""

    def __init__(self, console: Console, label: str) -> None:
        self._progress: Mapping[str, Any] = {}
        self._spinner = Spinner("dots", style="cyan")
        self._doing = f"checking {label}"
        super().__init__(console, refresh_per_second=5)

    def started(self, started: StartedProcedure) -> None:
        """Print what will be done, above the picture."""
        self._console.print(Text(headline(started), style="bold"), soft_wrap=True)
        for text in started.plan.summary:
            self._console.print(folded(self._console, Text(text)))
        self._doing = f"running {started.plan.job.spec.procedure.name}"

    @override
    def _take(self, progress: Mapping[str, Any]) -> None:
        self._progress = dict(progress)

    @override
    def _render(self) -> RenderableType:
        state = self._progress
        text = _STOPPING if state.get("stopping") else self._doing
        if state.get("step") or "what" in state:
            text = _STOPPING if state.get("stopping") else line(state)
        self._spinner.update(text=Text(text, no_wrap=True, overflow="ellipsis"))
        if not state.get("total"):
            return self._spinner
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=state["total"], completed=state["done"], complete_style="cyan")
        share = f"{state['done']}/{state['total']}"
        row.add_row(Text(str(state["what"]), style="bold", overflow="ellipsis"), bar, share)
        return Group(row, self._spinner)
