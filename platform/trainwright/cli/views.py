"""Showing a run while it goes on: live on a terminal, a few lines in a log, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from trainwright.cli.picture import Picture
from trainwright.cli.progress import TrainingProgress
from trainwright.cli.terminal import folded
from trainwright.cli.words import duration
from trainwright.secrets import mask
from trainwright.times import clock

if TYPE_CHECKING:
    from trainwright.orchestration.launch import Started

SECONDS_BETWEEN_LINES = 5.0


class View(Protocol):
    """What watches a run; all calls may come from another thread than the one that made it."""

    def __enter__(self) -> View:
        """Begin; the job is being checked."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """End, whatever became of the run."""
        ...

    def started(self, started: Any) -> None:
        """The job is good and training is about to start."""
        ...

    def show(self, progress: Mapping[str, Any]) -> None:
        """The newest progress."""
        ...


def make_view(
    console: Console,
    label: str,
    quiet: bool,
    progress: Callable[[], TrainingProgress] = TrainingProgress,
) -> View:
    """The view that fits: none when quiet, live on a terminal, otherwise single lines.

    Args:
        console: where to.
        label: the job, before the run has its name.
        quiet: whether nothing is shown.
        progress: makes what knows how far the run is.
    """
    if quiet:
        return SilentView()
    if console.is_terminal:
        return LiveView(console, label, progress())
    return LineView(console, progress=progress())


class SilentView:
    """Shows nothing."""

    def __enter__(self) -> SilentView:
        """Nothing."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing."""

    def started(self, started: Started) -> None:
        """Nothing."""

    def show(self, progress: Mapping[str, Any]) -> None:
        """Nothing."""


class LineView:
    """A line at the start, one at an evaluation now and then, none in between.

    Args:
        console: where to.
        clock: seconds.
        progress: how far the run is; by default that of a training.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        progress: TrainingProgress | None = None,
    ) -> None:
        self._console = console
        self._clock = clock
        self._progress = progress or TrainingProgress(clock=clock)
        self._told = clock()
        self._told_stopping = False

    def __enter__(self) -> LineView:
        """Nothing is said before the job is good."""
        return self

    def __exit__(self, *error: object) -> None:
        """The command says how the run ended."""

    def started(self, started: Started) -> None:
        """One line: the run, what is trained, and where it goes."""
        self._told = self._clock()
        self._say(f"{headline(started)}; {started.prepared.summary[-1]}")

    def show(self, progress: Mapping[str, Any]) -> None:
        """Say a line if there is a new evaluation and the last line is some seconds old."""
        if "remark" in progress:
            self._say(f"note: {progress['remark']}")
        evaluated = self._progress.update(progress)
        if self._progress.stopping and not self._told_stopping:
            self._told_stopping = True
            self._say(_STOPPING)
        due = self._clock() - self._told >= SECONDS_BETWEEN_LINES
        if evaluated and due and not self._progress.is_complete:
            self._told = self._clock()
            self._say(self._progress.line())

    def _say(self, text: str) -> None:
        self._console.print(mask(text), soft_wrap=True, markup=False)


class LiveView(Picture):
    """Two or three lines at the bottom of a terminal that follow the run.

    Args:
        console: a terminal.
        label: the job, before the run has its name.
        progress: how far the run is; by default that of a training.
    """

    def __init__(
        self, console: Console, label: str, progress: TrainingProgress | None = None
    ) -> None:
        self._name = ""
        self._doing = f"checking {label}"
        self._began = time.monotonic()
        self._progress = progress or TrainingProgress()
        self._spinner = Spinner("dots", style="cyan")
        super().__init__(console, refresh_per_second=5)

    def started(self, started: Started) -> None:
        """Print what will be trained, above the picture."""
        prepared = started.prepared
        self._name = started.folder.url.rstrip("/").rsplit("/", 1)[-1]
        self._console.print(Text(headline(started), style="bold"), soft_wrap=True)
        for line in prepared.summary:
            self._console.print(folded(self._console, Text(line)))
        for remark in prepared.remarks:
            note = Text.assemble(("note: ", "yellow"), remark)
            self._console.print(folded(self._console, note))
        cluster = prepared.job.spec.cluster
        least, most = cluster.min_workers, cluster.max_workers
        number = f"{least} to {most}" if cluster.is_elastic else str(most)
        where = f"Ray with {number} worker{'s' * (most > 1)}" if most else "training"
        self._doing, self._began = f"starting {where}", time.monotonic()

    @override
    def _take(self, progress: Mapping[str, Any]) -> None:
        self._progress.update(progress)

    @override
    def _render(self) -> RenderableType:
        state = self._progress
        if state.stopping:
            return self._working(_STOPPING)
        if state.is_complete:
            return self._working("writing plots and weights, closing the records")
        if state.step == 0:
            return self._working(f"{self._doing} ({duration(time.monotonic() - self._began)})")
        counts = state.counts()
        return Group(self._bar(), _line(state.values()), *([_line(counts)] if counts else []))

    def _working(self, text: str) -> RenderableType:
        self._spinner.update(text=Text(text, no_wrap=True, overflow="ellipsis"))
        return self._spinner

    def _bar(self) -> RenderableType:
        state = self._progress
        left = state.seconds_left()
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        row.add_column(no_wrap=True, justify="right")
        row.add_column(no_wrap=True, justify="right")
        row.add_row(
            Text(self._name, style="bold", overflow="ellipsis"),
            ProgressBar(total=state.total, completed=state.step, complete_style="cyan"),
            f"{state.step}/{state.total}",
            f"{state.share:.0%}",
            Text(f"{clock(left)} left" if left is not None else "", style="dim"),
        )
        return row


_STOPPING = "stopping: a checkpoint is being written; Ctrl-C again ends at once"


def _line(values: Sequence[str]) -> RenderableType:
    return Text("  ".join(values), no_wrap=True, overflow="ellipsis")


def headline(started: Started) -> str:
    """The run's name, whether it continues, and where it is kept."""
    name = started.folder.url.rstrip("/").rsplit("/", 1)[-1]
    how = ""
    if started.resumed_from:
        how = f", continued from {started.resumed_from}"
    elif started.continues:
        how = ", going on from an earlier attempt"
    from trainwright.overview import shown

    return f"run {name}{how}, in {shown(started.folder.url)}"
