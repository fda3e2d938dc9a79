"""One call of ``trainwright run``: the run, and what is said at its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer
from rich.text import Text

from trainwright.cli import outcome
from trainwright.cli.problems import cause
from trainwright.cli.reporting import INTERRUPTED, Report
from trainwright.cli.views import View
from trainwright.cli.words import command
from trainwright.errors import Interrupted, TrainwrightError
from trainwright.job import Job
from trainwright.job.kinds import kind_of
from trainwright.orchestration.request import Request
from trainwright.overview import shown, unsent_remark
from trainwright.runs import RunRecord
from trainwright.secrets import mask
from trainwright.storage import Folder

if TYPE_CHECKING:
    from trainwright.cli.screens import Screen
    from trainwright.orchestration.result import RunResult

UNKNOWN: dict[str, Any] = {
    "run": None,
    "status": None,
    "metrics": {},
    "storage": None,
    "mlflow_run_id": None,
    "seconds": 0.0,
    "steps": 0,
    "unit": "steps",
    "remarks": [],
}
"""The answer under ``--json`` before anything is known."""


class Watcher(Protocol):
    """Follows a run from beside it."""

    def started(self, folder: Folder, log: Path) -> str | None:
        """The run begins in its folder; where the driver's log is kept, if not at ``log`` alone."""
        ...

    def ended(self) -> None:
        """The run has ended, in whatever way; what is said next are the last words on it."""
        ...


@dataclass
class Call:
    """A call of the command with its options.

    Attributes:
        report: where everything is said.
        job: the job file.
        overrides: values to change in it.
        request: the other options of the command.
        quiet: say nothing but errors.
        goes_on: what goes on with the run, in words; default: this command once more.
        watcher: follows the run.
        folder: the run's folder, once it is known.
        log: the driver's log for people, where it is not in that folder.
    """

    report: Report
    job: Path
    overrides: list[str]
    request: Request
    quiet: bool
    goes_on: str | None = None
    watcher: Watcher | None = None
    folder: Folder | None = None
    log: str | None = None

    @property
    def again(self) -> str:
        """What continues this run: ``--fresh`` would start yet another one."""
        if self.goes_on is not None:
            return self.goes_on
        parts = [part for override in self.overrides for part in ("-s", override)]
        parts += ["--resume", self.request.resume] if self.request.resume else []
        parts += ["--placebo"] if self.request.placebo else []
        return command("trainwright", "run", str(self.job), *parts)

    def run(self) -> None:
        """Run and tell.

        Raises:
            typer.Exit: the run failed, was stopped or did not meet its expectations; all is said.
            InputError: the job cannot run.
        """
        self.report.answer = {**UNKNOWN}
        job = Job.load(self.job, self.overrides)
        screen = kind_of(job).make_screen(job)
        try:
            result = self._run(job, screen)
        except Interrupted as stop:
            self._tell_stopped(stop)
            raise typer.Exit(INTERRUPTED) from stop
        except KeyboardInterrupt:
            self._tell_ended_at_once()
            raise
        except TrainwrightError as error:
            self._fill_in()
            if error.exit_status != 1:
                raise
            self._tell_failed(error)
            raise typer.Exit(1) from error
        except Exception:
            self._fill_in()
            raise
        self.report.answer = result.to_json()
        if not self.quiet:
            screen.tell(self.report, result)
        if result.exit_status:
            raise typer.Exit(result.exit_status)

    def _run(self, job: Job[Any], screen: Screen) -> RunResult:
        try:
            with screen.view(self.report.err, str(self.job), self.quiet) as view:
                request = replace(
                    self.request,
                    show=view.show,
                    started=lambda started: self._note_start(view, started),
                )
                return kind_of(job).run(job, request)
        finally:
            if self.watcher is not None:
                self.watcher.ended()

    def _note_start(self, view: View, started: Any) -> None:
        from trainwright.orchestration.shipping import driver_log

        self.folder = folder = started.folder
        self.report.log = log = driver_log(folder)
        self.log = None if folder.is_local else str(log)
        if self.watcher is not None:
            self.log = self.watcher.started(folder, log) or self.log
        view.started(started)

    def _record(self) -> RunRecord | None:
        return RunRecord.load(self.folder) if self.folder is not None else None

    def _fill_in(self) -> None:
        """What the record knows of a run that did not come to its end."""
        record = self._record()
        if self.folder is None or record is None:
            return
        from trainwright.orchestration.result import RunResult

        unsent = unsent_remark(self.folder, record)
        result = RunResult.of(self.folder, record, remarks=[unsent] if unsent else [])
        self.report.answer = result.to_json()

    def _tell_stopped(self, stop: Interrupted) -> None:
        self._fill_in()
        self.report.answer.update(status="interrupted", error=str(stop))
        self.report.error(str(stop).partition(". ")[0].removeprefix("stopped "), "stopped")
        self._tell_next("continue with", self.again)
        if self.folder is not None and self.folder.exists("best.yaml"):
            self._tell_next("best so far", f"{shown(self.folder.url)}/best.yaml")
        self._tell_remarks()

    def _tell_ended_at_once(self) -> None:
        self._fill_in()
        record = self._record()
        if record is None:
            return
        if record.status == "finished":
            again = command("trainwright", "export", record.name)
            self.report.remark(f"training was finished; `{again}` writes the weights")
        else:
            self.report.answer["status"] = "interrupted"
            self._tell_next("continue with", self.again)

    def _tell_failed(self, error: TrainwrightError) -> None:
        report = self.report
        report.answer.update(status="failed", error=" at ".join(filter(None, cause(str(error)))))
        (kind, reason), *more = outcome.failure(str(error), self.folder, self.again, self.log)
        report.error(reason, kind)
        for label, text in more:
            self._tell_next(label, text)
        self._tell_remarks()

    def _tell_next(self, label: str, text: str) -> None:
        self.report.err.print(Text.assemble((f"  {label}: ", "dim"), mask(text)), soft_wrap=True)

    def _tell_remarks(self) -> None:
        for remark in self.report.answer["remarks"]:
            self.report.remark(remark)
