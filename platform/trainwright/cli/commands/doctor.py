"""``trainwright doctor``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson
from trainwright.cli.reporting import Report, reporting

if TYPE_CHECKING:
    from trainwright.doctor import Finding, Subject

_SIGNS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "stop": ("stop", "bold red")}


def doctor(
    job: Annotated[
        Path | None,
        typer.Argument(metavar="[JOB]", help="A job file: check what this job needs, too."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether this machine can run jobs, and say what to mend.

    Looks at versions, memory, disk, GPUs, ports, the storage folder, the
    MLflow server and the plugins, and starts Ray once. With a job file, it
    looks at that job's storage, server and cluster.

    Examples:
    $ trainwright doctor
    $ trainwright doctor jobs/quickstart.yaml --json

    Exit status: 0 ready, 1 something would stop a run, 2 bad input.
    """
    with reporting(as_json) as report:
        subject = _subject(job)
        findings = _examined(report, subject)
        stops = [finding for finding in findings if finding.state == "stop"]
        report.answer = {
            "status": "not ready" if stops else "ready",
            "findings": [finding.to_json() for finding in findings],
        }
        if stops:
            names = ", ".join(finding.name for finding in stops)
            report.error(f"this would stop a run: {names}", "not ready")
            raise typer.Exit(1)
        report.out.print(Text("ready to run", style="bold green"))


def _subject(job: Path | None) -> Subject:
    from trainwright.doctor import Subject
    from trainwright.overview import open_storage

    if job is None:
        return Subject(open_storage(DEFAULT_STORAGE))
    from trainwright.job import Job

    spec = Job.load(job).spec
    return Subject(open_storage(spec.storage, "storage"), spec)


def _examined(report: Report, subject: Subject) -> list[Finding]:
    from trainwright.doctor import examine

    findings = []
    live = report.out.is_terminal
    with report.out.status("looking around") if live else contextlib.nullcontext():
        for finding in examine(subject):
            findings.append(finding)
            _say(report, finding)
    return findings


def _say(report: Report, finding: Finding) -> None:
    sign, style = _SIGNS[finding.state]
    line = Text.assemble((sign, style), f"  {finding.name:<18}{finding.says}")
    report.out.print(line, soft_wrap=True)
    if finding.mend:
        report.out.print(Text(f"{'':24}{finding.mend}", style="dim"), soft_wrap=True)
