"""``trainwright logs``."""

from __future__ import annotations

from typing import Annotated

import typer

from trainwright.cli.following import exit_with, follow, print_as_it_is
from trainwright.cli.reporting import reporting
from trainwright.cli.sending import (
    CaFile,
    Context,
    Namespace,
    Profile,
    Sent,
    To,
    found,
    target_of,
)
from trainwright.cli.submissions import line_of


def logs(
    submission: Sent,
    to: To,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, to the job's end.")
    ] = False,
    profile: Profile = None,
    namespace: Namespace = None,
    context: Context = None,
    ca_file: CaFile = None,
) -> None:
    """Show the log of a submitted job.

    Ctrl-C ends the showing, not the job. Pods that end and connections that
    break do not end it either: it goes on with what comes after them.

    Examples:
    $ trainwright logs quickstart-3f2a91c0 --to k8s -f
    $ trainwright logs quickstart --to http://127.0.0.1:8265 > log.txt

    Exit status: 0 shown (with -f: finished), 1 it failed, 2 no such
    submission, 130 stopped.
    """
    with reporting(as_json=False) as report:
        target = target_of(to, profile, namespace, context, ca_file)
        one = found(target, submission)
        if following:
            exit_with(report, follow(report, target, one.id))
            return
        is_empty = True
        for line in target.logs(one.id):
            print_as_it_is(report, f"{line}\n")
            is_empty = False
        report.out.file.flush()
        if is_empty:
            report.err.print(line_of(one), soft_wrap=True)
            report.remark("it has no log" if one.has_ended else "it has no log yet")
