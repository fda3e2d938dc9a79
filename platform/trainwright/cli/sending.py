"""What the commands that talk to a cluster share: how it is named, and how they tell of a job."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from trainwright.cli.reporting import INTERRUPTED, Report
from trainwright.cli.words import command, duration, moment
from trainwright.errors import InputError, Problem
from trainwright.suggest import nearest, one_of

if TYPE_CHECKING:
    from trainwright.submission.target import Submission, Target

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="TARGET",
        envvar="TRAINWRIGHT_TO",
        help="k8s, or a Ray cluster's dashboard: http://HOST:8265",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="NAME",
        help="With --to k8s: a profile of k8s/profiles or of ~/.config/trainwright/profiles, or a "
        "file; default: $TRAINWRIGHT_PROFILE, or the one called default.",
    ),
]
ProfileChanges = Annotated[
    list[str],
    typer.Option(
        "--set-profile",
        metavar="PATH=VALUE",
        help="Change a value of the profile. Can be given several times.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Instead of the profile's."),
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Of the kubeconfig; instead of the profile's."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", metavar="FILE", help="With https://: certificates that sign the server's."
    ),
]
Sent = Annotated[str, typer.Argument(metavar="ID", help="A submission; `list --to` names them.")]

_STYLES = {
    "waiting": "yellow",
    "running": "cyan",
    "finished": "bold green",
    "failed": "bold red",
    "stopped": "yellow",
}


def target_of(
    to: str,
    profile: str | None,
    namespace: str | None,
    context: str | None,
    ca_file: Path | None,
    changes: Sequence[str] = (),
) -> Target:
    """The target that the options name; it is not contacted yet.

    Raises:
        InputError: there is none of that name.
    """
    from trainwright.submission.targets import Address

    return Address(to, profile, tuple(changes), namespace, context, ca_file).open()


def found(target: Target, named: str) -> Submission:
    """The submission that a user names: in full, or by the beginning of its name.

    Raises:
        InputError: there is none, or several.
    """
    exact = target.find(named)
    if exact is not None:
        return exact
    names = [submission.id for submission in target.all()]
    begun = [name for name in names if name.startswith(named)]
    if len(begun) == 1:
        only = target.find(begun[0])
        if only is not None:
            return only
    message = "several submissions begin so" if begun else "there is no such submission"
    raise InputError(
        Problem(
            "ID",
            message,
            named,
            allowed=one_of(begun or names) or f"none: there are no submissions at {target.label}",
            nearest=None if begun else nearest(named, names),
        )
    )


def line_of(submission: Submission) -> Text:
    """One line: its name, its state, how far it is, and why."""
    parts: list[Text | str] = [
        Text(submission.id, style="bold"),
        Text(submission.state, style=_STYLES[submission.state]),
    ]
    if submission.progress is not None:
        parts.append(submission.progress.line)
    if submission.says:
        parts.append(submission.says)
    return Text("  ").join(Text(part) if isinstance(part, str) else part for part in parts)


def table_of(submissions: list[Submission]) -> Table:
    """All of them, one line each."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("submission", "state", "sent", "progress", ""):
        table.add_column(heading, no_wrap=heading != "")
    for one in submissions:
        sent = moment(one.submitted) if one.submitted is not None else ""
        progress = f"{one.progress.percent}%" if one.progress is not None else ""
        state = Text(one.state, style=_STYLES[one.state])
        table.add_row(Text(one.id, style="bold"), state, sent, progress, Text(one.says))
    return table


def tell_details(report: Report, submission: Submission) -> None:
    """What else is known of it, one line each."""
    rows: list[tuple[str, str]] = []
    if submission.submitted is not None:
        end = submission.ended if submission.ended is not None else time.time()
        passed = duration(max(0.0, end - submission.submitted))
        rows.append(
            (
                "sent",
                f"{moment(submission.submitted)}, {passed} ago"
                if not submission.has_ended
                else f"{moment(submission.submitted)}, took {passed}",
            )
        )
    if submission.run:
        rows.append(("run", submission.run))
    if submission.storage:
        rows.append(("storage", submission.storage))
    rows += submission.details.items()
    for label, text in rows:
        report.out.print(Text.assemble((f"  {label:<12}", "dim"), text), soft_wrap=True)


def again(target: Target, verb: str, *rest: str) -> str:
    """A command line that speaks to the same target."""
    return command("trainwright", verb, *rest, *target.options)


@contextmanager
def leaving_it_running(report: Report, target: Target, submission: str) -> Iterator[None]:
    """Ctrl-C ends the watching, not the job.

    Raises:
        typer.Exit: with status 130, after saying how to come back.
    """
    try:
        yield
    except KeyboardInterrupt:
        report.remark(f"the job goes on; `{again(target, 'logs', submission, '-f')}` follows it")
        report.remark(f"`{again(target, 'stop', submission)}` stops it")
        raise typer.Exit(INTERRUPTED) from None


def follow(report: Report, target: Target, submission: str, quiet: bool = False) -> Submission:
    """Print its log to the end and say whenever its state changes; what became of it.

    The log goes to standard output, all else to standard error.
    """
    last: Submission | None = None
    with leaving_it_running(report, target, submission):
        for event in target.follow(submission):
            if isinstance(event, str):
                if not report.as_json:
                    report.out.print(event, soft_wrap=True, markup=False, highlight=False)
                continue
            if last is None or (event.state, event.says) != (last.state, last.says):
                report.err.print(line_of(event), soft_wrap=True)
            last = event
    assert last is not None
    return last


def exit_with(report: Report, target: Target, submission: Submission) -> None:
    """Say what to do after a job that has ended.

    Raises:
        typer.Exit: with status 1 for one that failed, 130 for one that was stopped.
    """
    report.answer = {"status": submission.state, **submission.to_json()}
    if submission.state == "finished":
        if submission.run and submission.storage:
            export = command(
                "trainwright", "export", submission.run, "--storage", submission.storage
            )
            report.remark(f"`{export}` writes the weights")
        return
    if submission.state == "failed":
        report.remark(
            f"`{again(target, 'logs', submission.id)}` shows its log; submitting the same job "
            "again goes on from the last checkpoint"
        )
        raise typer.Exit(1)
    report.remark("submitting the same job again goes on from the last checkpoint")
    raise typer.Exit(INTERRUPTED)
