"""``trainwright doctor``."""

from __future__ import annotations

import contextlib
import os.path
import signal
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson, Overrides
from trainwright.cli.reporting import Report, reporting
from trainwright.cli.sending import (
    CaFile,
    Context,
    Namespace,
    Profile,
    ProfileChanges,
    target_of,
)
from trainwright.errors import InputError, Problem
from trainwright.orchestration.signals import ending_as_interrupts
from trainwright.secrets import mask

if TYPE_CHECKING:
    from trainwright.doctor import Finding
    from trainwright.submission.probe import Trial
    from trainwright.submission.site import Site
    from trainwright.submission.target import Target

    Findings = Generator[Finding, None, None]

_SIGNS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "stop": ("stop", "bold red")}


def doctor(
    job: Annotated[
        Path | None,
        typer.Argument(metavar="[JOB]", help="A job file: check what this job needs, too."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="Check this cluster instead: k8s, or a Ray dashboard, http://HOST:8265.",
        ),
    ] = None,
    overrides: Overrides = [],  # noqa: B006
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL", help="Without a job: the folder or URL to try to write to."
        ),
    ] = None,
    profile: Profile = None,
    changes: ProfileChanges = [],  # noqa: B006
    namespace: Namespace = None,
    context: Context = None,
    ca_file: CaFile = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe/--no-probe",
            help="With --to: run something small there that looks around from inside.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check whether this machine or a cluster can run jobs.

    Looks at versions, memory, disk, GPUs, ports, the storage folder, the
    MLflow server and the plugins, and starts Ray once. With a job file, it
    looks at that job's storage, server and cluster.

    With --to it looks at a cluster: whether it answers and lets you in, what
    you may do there, and, from inside, at versions, GPUs, storage and server.
    What it starts for that it removes again.

    Examples:
    $ trainwright doctor
    $ trainwright doctor jobs/quickstart.yaml --json
    $ trainwright doctor jobs/quickstart.yaml --to http://127.0.0.1:8265
    $ trainwright doctor --to k8s --profile gpu --storage s3://bucket/runs

    Exit status: 0 ready, 1 something would stop a run, 2 bad input, or a
    target that cannot be used.
    """
    with reporting(as_json) as report:
        if overrides and job is None:
            raise InputError(Problem("-s", "changes a job, and there is none", overrides[0]))
        if storage is not None and job is not None:
            mend = f"-s storage={storage}"
            raise InputError(Problem("--storage", "is said by the job", storage, mend=mend))
        if to is None:
            _refuse_without_target(profile, changes, namespace, context, ca_file, probe)
            findings = _here(job, overrides, storage)
        else:
            target = target_of(to, profile, namespace, context, ca_file, changes)
            findings = target.examine(_trial(target, job, overrides, storage, probe))
        _conclude(report, _told(report, findings))


def _refuse_without_target(
    profile: str | None,
    changes: list[str],
    namespace: str | None,
    context: str | None,
    ca_file: Path | None,
    probe: bool,
) -> None:
    given = {
        "--profile": profile,
        "--set-profile": changes or None,
        "--namespace": namespace,
        "--context": context,
        "--ca-file": ca_file,
        "--no-probe": None if probe else True,
    }
    problems = [
        Problem(option, "means nothing without --to", mend="name the cluster: --to k8s")
        for option, value in given.items()
        if value is not None
    ]
    if problems:
        raise InputError(problems)


def _here(job: Path | None, overrides: list[str], storage: str | None) -> Findings:
    from trainwright.doctor import Subject, examine
    from trainwright.overview import open_storage

    if job is None:
        subject = Subject(open_storage(storage or DEFAULT_STORAGE))
    else:
        from trainwright.job import Job

        spec = Job.load(job, overrides).spec
        subject = Subject(open_storage(spec.storage, "storage"), spec)
    return examine(subject)


def _trial(
    target: Target, job: Path | None, overrides: list[str], storage: str | None, probe: bool
) -> Trial:
    from trainwright.submission.probe import Trial

    parcel = None
    if job is not None:
        from trainwright.submission.packing import pack

        parcel = pack(job, overrides, target.site)
    return Trial(parcel, _there(target.site, storage), probe)


def _there(site: Site, storage: str | None) -> str | None:
    """A storage that the user names, as the cluster understands it.

    Raises:
        InputError: a folder that the cluster does not see, or does not keep.
    """
    if storage is None or "://" in storage or "::" in storage:
        return storage
    whole = str(Path(storage).expanduser().absolute())
    if not (site.keeps(whole) or site.may_keep(os.path.expanduser(storage))):
        message = "is a folder of this machine, which the cluster does not see"
        allowed = "a URL such as s3://bucket/folder, or a folder of a volume of the cluster"
        raise InputError(Problem("--storage", message, storage, allowed))
    return whole


def _told(report: Report, found: Findings) -> list[Finding]:
    findings: list[Finding] = []
    live = report.out.is_terminal
    waiting = report.out.status("looking around") if live else contextlib.nullcontext()
    # Also of a terminal that is closed: what runs on a cluster would stay.
    ends = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    with ending_as_interrupts(*ends), waiting, contextlib.closing(found):
        for finding in found:
            findings.append(finding)
            _say(report, finding)
    return findings


def _say(report: Report, finding: Finding) -> None:
    sign, style = _SIGNS[finding.state]
    line = Text.assemble((sign, style), f"  {finding.name:<18}{mask(finding.says)}")
    report.out.print(line, soft_wrap=True)
    for text in mask(finding.mend).splitlines():
        report.out.print(Text(f"{'':24}{text}", style="dim"), soft_wrap=True)


def _conclude(report: Report, findings: list[Finding]) -> None:
    """Say whether a job could run.

    Raises:
        typer.Exit: with status 1, where something would stop one.
    """
    stops = [finding for finding in findings if finding.state == "stop"]
    report.answer = {
        "status": "not ready" if stops else "ready",
        "findings": [finding.to_json() for finding in findings],
    }
    if stops:
        names = ", ".join(dict.fromkeys(finding.name for finding in stops))
        report.error(f"this would stop a run: {names}", "not ready")
        raise typer.Exit(1)
    report.out.print(Text("ready to run", style="bold green"))
