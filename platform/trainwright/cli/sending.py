"""What the commands that talk to a cluster share: how it, and a job there, is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainwright.cli.words import command
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
Sent = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A submission, or the beginning of its name; `list --to` shows them."
    ),
]


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

    Where all that begin so are of one job, the newest of them is meant.

    Raises:
        InputError: there is none, or there are several.
    """
    from trainwright.submission.names import parsed
    from trainwright.submission.submitting import newest_of

    if parsed(named) is not None and (exact := target.find(named)) is not None:
        return exact
    there = target.all()
    begun = [one for one in there if one.id.startswith(named)]
    bases = {ours[0] for one in begun if (ours := parsed(one.id)) is not None}
    newest = newest_of(begun, bases.pop()) if len(bases) == 1 else None
    if newest is None:
        raise InputError(_not_found(target, named, begun or there, is_unclear=bool(begun)))
    return target.find(newest.id) or newest


def _not_found(
    target: Target, named: str, there: Sequence[Submission], is_unclear: bool
) -> Problem:
    names = [one.id for one in there]
    message = "several submissions begin so" if is_unclear else "there is no such submission"
    allowed = one_of(names) or f"none: no job was submitted to {target.label}"
    by_job = {name.rpartition("-")[0]: name for name in names}
    close = None if is_unclear else nearest(named, [*names, *by_job])
    return Problem("ID", message, named, allowed, by_job.get(close or "", close))


def again(target: Target, verb: str, *rest: str) -> str:
    """A command line that speaks to the same target."""
    return command("trainwright", verb, *rest, *target.options)
