"""``trainwright submit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from trainwright.cli.following import exit_with, follow, print_as_it_is
from trainwright.cli.options import AsJson, JobFile, Overrides
from trainwright.cli.reporting import Report, reporting
from trainwright.cli.sending import (
    CaFile,
    Context,
    Namespace,
    Profile,
    ProfileChanges,
    To,
    again,
    target_of,
)
from trainwright.cli.submissions import line_of
from trainwright.errors import InputError, Problem

if TYPE_CHECKING:
    from trainwright.submission.parcel import Parcel
    from trainwright.submission.submitting import Sent
    from trainwright.submission.target import Target


def submit(
    job: JobFile,
    to: To,
    overrides: Overrides = [],  # noqa: B006
    profile: Profile = None,
    changes: ProfileChanges = [],  # noqa: B006
    namespace: Namespace = None,
    context: Context = None,
    ca_file: CaFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")
    ] = False,
    following: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Then follow its log to the end."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send a job to a Ray cluster, where it runs as it would here.

    The job is checked first, as far as this machine can. The same job sent
    again joins the one that runs; one that failed or was stopped goes on
    from its last checkpoint. Every other command finds it by its name.

    Examples:
    $ trainwright submit jobs/quickstart.yaml --to http://127.0.0.1:8265 -f
    $ trainwright submit job.yaml --to k8s --profile gpu -s training.epochs=5
    $ trainwright submit job.yaml --to k8s --dry-run > manifests.yaml

    A Ray cluster that asks for a token gets that of RAY_AUTH_TOKEN, of the
    file RAY_AUTH_TOKEN_PATH or of ~/.ray/auth_token; Kubernetes is reached
    as kubectl reaches it.

    Exit status: 0 sent (with -f: finished), 1 failed, 2 bad input or a target
    that cannot be used, 130 stopped.
    """
    with reporting(as_json) as report:
        from trainwright.submission.packing import pack
        from trainwright.submission.submitting import submit as send

        if dry_run and following:
            raise InputError(Problem("--follow", "means nothing with --dry-run"))
        target = target_of(to, profile, namespace, context, ca_file, changes)
        parcel = pack(job, overrides, target.site)
        if dry_run:
            _tell_dry(report, target, parcel)
            return
        sent = send(target, parcel)
        report.answer = {"status": sent.submission.state, **sent.submission.to_json()}
        _tell(report, target, parcel, sent)
        if following:
            exit_with(report, follow(report, target, sent.submission.id))


def _tell_dry(report: Report, target: Target, parcel: Parcel) -> None:
    text = target.preview(parcel.base, parcel)
    report.answer = {"status": "not sent", "id": parcel.base, "manifests": text}
    if not report.as_json:
        print_as_it_is(report, text)
    for remark in parcel.remarks:
        report.remark(remark)


def _tell(report: Report, target: Target, parcel: Parcel, sent: Sent) -> None:
    submission = sent.submission
    if not sent.is_new:
        done = submission.state == "finished"
        how = "is finished already" if done else "was sent already; joined it"
    elif sent.earlier is not None:
        how = f"sent; it goes on where {sent.earlier.id} ended"
    else:
        how = "sent"
    report.out.print(
        Text.assemble((submission.id, "bold"), f" {how}: {target.label}"), soft_wrap=True
    )
    report.err.print(line_of(submission), soft_wrap=True)
    if sent.is_new:
        for remark in parcel.remarks:
            report.remark(remark)
    for label, verb, *rest in (("log", "logs", "-f"), ("status", "status"), ("stop", "stop")):
        text = again(target, verb, submission.id, *rest)
        report.out.print(Text.assemble((f"  {label:<8}", "dim"), text), soft_wrap=True)
