"""``trainwright logs``."""

from __future__ import annotations

from typing import Annotated

import typer

from trainwright.cli.reporting import reporting
from trainwright.cli.sending import (
    CaFile,
    Context,
    Namespace,
    Profile,
    Sent,
    To,
    exit_with,
    follow,
    found,
    target_of,
)


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
        name = found(target, submission).id
        if following:
            exit_with(report, target, follow(report, target, name))
            return
        for line in target.logs(name):
            report.out.print(line, soft_wrap=True, markup=False, highlight=False)
