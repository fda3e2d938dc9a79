"""What the command line shows of a run of each kind of job: while it goes on, and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.text import Text

from trainwright.cli import outcome
from trainwright.cli.views import View, make_view
from trainwright.runs import RunRecord
from trainwright.storage import Folder

if TYPE_CHECKING:
    from trainwright.cli.reporting import Report
    from trainwright.job import Job
    from trainwright.orchestration.result import RunResult


class Screen(Protocol):
    """How a kind of job looks on the command line; made with the job."""

    def __init__(self, job: Job[Any]) -> None:
        """Begin with nothing shown."""

    def view(self, console: Console, label: str, quiet: bool) -> View:
        """What watches the run."""
        ...

    def tell(self, report: Report, result: RunResult) -> None:
        """Say what came of a run that ended by itself."""
        ...


class RunScreen:
    """A single run: its progress, then its metrics and where everything lies."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def view(self, console: Console, label: str, quiet: bool) -> View:
        """Live on a terminal, a few lines in a log."""
        return make_view(console, label, quiet)

    def tell(self, report: Report, result: RunResult) -> None:
        """The summary; one line on standard error when standard output is for JSON."""
        title = outcome.finished_title(result, report.anew)
        (report.err if report.as_json else report.out).print(title, soft_wrap=True)
        if result.metrics and not result.already_finished:
            report.out.print(outcome.metrics_table(result.metrics))
        tell_places(report, result)


def tell_places(report: Report, result: RunResult) -> None:
    """Where everything that a run left lies, and its remarks."""
    folder = Folder(result.storage)
    record = RunRecord.load(folder) or RunRecord(result.run)
    for label, text in outcome.places(folder, record):
        report.out.print(Text.assemble((f"  {label:<12}", "dim"), text), soft_wrap=True)
    for remark in result.remarks:
        report.remark(remark)
