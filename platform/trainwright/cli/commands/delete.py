"""``trainwright delete``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from trainwright.cli.options import AsJson
from trainwright.cli.reporting import reporting
from trainwright.cli.sending import (
    CaFile,
    Context,
    Namespace,
    Profile,
    Sent,
    To,
    again,
    found,
    target_of,
)
from trainwright.errors import InputError, Problem


def delete(
    submission: Sent,
    to: To,
    force: Annotated[bool, typer.Option("--force", help="Even while it waits or runs.")] = False,
    profile: Profile = None,
    namespace: Namespace = None,
    context: Context = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove a submitted job from its target, with its log there.

    Its run, with checkpoints and metrics, stays in the storage.

    Examples:
    $ trainwright delete quickstart-3f2a91c0 --to k8s

    Exit status: 0 deleted; 2 no such submission, or it is still running.
    """
    with reporting(as_json) as report:
        target = target_of(to, profile, namespace, context, ca_file)
        one = found(target, submission)
        if not one.has_ended and not force:
            mend = f"`{again(target, 'stop', one.id)}` first, or --force"
            raise InputError(Problem("ID", f"it is {one.state}", one.id, mend=mend))
        target.delete(one.id)
        report.answer = {"status": "deleted", "id": one.id}
        report.out.print(Text.assemble((one.id, "bold"), " deleted; its run stays in the storage"))
