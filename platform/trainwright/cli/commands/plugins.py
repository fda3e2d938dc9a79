"""``trainwright list`` and ``trainwright show``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from trainwright.cli.options import AsJson
from trainwright.cli.reporting import Report, reporting
from trainwright.cli.sending import CaFile, Context, Namespace, Profile, target_of
from trainwright.cli.submissions import list_all
from trainwright.errors import InputError, Problem

if TYPE_CHECKING:
    from trainwright.plugins.catalogue import Entry
    from trainwright.submission.target import Target

GROUP_NAMES = "objectives, strategies, models, datasets, transforms, metrics, optimizers, schedules"


def list_plugins(
    group: Annotated[
        str | None, typer.Argument(metavar="[GROUP]", help=f"One of: {GROUP_NAMES}.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TARGET", help="List the jobs that were submitted there."),
    ] = None,
    profile: Profile = None,
    namespace: Namespace = None,
    context: Context = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List the plugins a job can name; with --to, the jobs sent there.

    Examples:
    $ trainwright list
    $ trainwright list strategies
    $ trainwright list objectives --json
    $ trainwright list --to k8s
    """
    with reporting(as_json) as report:
        _refuse_idle(group, to, profile, namespace, context, ca_file)
        if to is not None:
            _say_submissions(report, target_of(to, profile, namespace, context, ca_file))
            return
        from trainwright.plugins.catalogue import listing

        entries = listing(group)
        report.answer = {"plugins": [dataclasses.asdict(entry) for entry in entries]}
        if not as_json:
            _say(report, entries, everything=group is None)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin, from `trainwright list`.")],
    as_json: AsJson = False,
) -> None:
    """Show a plugin's page: purpose, equation, options, example, paper.

    Examples:
    $ trainwright show z_loss
    $ trainwright show optimizers/adamw
    $ trainwright show objectives/losses.py:MyLoss --json
    """
    with reporting(as_json) as report:
        from trainwright.plugins import GROUPS
        from trainwright.plugins.catalogue import card

        head, _, rest = name.partition("/")
        found = card(rest, head) if rest and head in GROUPS else card(name)
        report.answer = found.to_json()
        if not as_json:
            from trainwright.cli.pages import print_page

            print_page(report.out, found)


def _refuse_idle(group: str | None, to: str | None, *options: object) -> None:
    """Refuse what would have no effect."""
    if group is not None and to is not None:
        message = "lists submitted jobs, and a group is one of plugins"
        raise InputError(Problem("--to", message, to, mend=f"leave out {group}, or --to"))
    names = ("--profile", "--namespace", "--context", "--ca-file")
    given = [name for name, value in zip(names, options, strict=True) if value is not None]
    if given and to is None:
        raise InputError([Problem(name, "means nothing without --to") for name in given])


def _say_submissions(report: Report, target: Target) -> None:
    submissions = target.all()
    report.answer = {"submissions": [one.to_json() for one in submissions]}
    if not submissions:
        report.err.print(Text(f"no job was submitted to {target.label}"), soft_wrap=True)
    elif not report.as_json:
        list_all(report.out, submissions)


def _say(report: Report, entries: Sequence[Entry], everything: bool) -> None:
    from trainwright.plugins import GROUPS

    width = min(max((len(entry.name) for entry in entries), default=0), 28)
    indent = "  " if everything else ""
    for group in dict.fromkeys(entry.group for entry in entries):
        if everything:
            report.out.print(Text.assemble((group, "bold"), (f"  {GROUPS[group]}", "dim")))
        for entry in (entry for entry in entries if entry.group == group):
            line = Text.assemble(f"{indent}{entry.name:<{width}}  ", _purpose(entry))
            report.out.print(line, no_wrap=True, overflow="ellipsis")
        if everything:
            report.out.print()
    report.out.print(Text("`trainwright show NAME` tells all about one of them.", style="dim"))


def _purpose(entry: Entry) -> Text:
    if entry.error is not None:
        return Text(f"cannot be imported: {entry.error}", style="red")
    return Text(entry.purpose)
