"""``trainwright status``."""

from __future__ import annotations

from trainwright.cli.options import AsJson
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
from trainwright.cli.submissions import line_of, tell_details


def status(
    submission: Sent,
    to: To,
    profile: Profile = None,
    namespace: Namespace = None,
    context: Context = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Say how a submitted job fares: its state, how far it is, why it waits.

    Examples:
    $ trainwright status quickstart-3f2a91c0 --to k8s
    $ trainwright status quickstart --to http://127.0.0.1:8265 --json

    Exit status: 0 told, 2 no such submission, or a target that cannot be used.
    """
    with reporting(as_json) as report:
        target = target_of(to, profile, namespace, context, ca_file)
        one = found(target, submission)
        report.answer = {"status": one.state, **one.to_json()}
        report.out.print(line_of(one), soft_wrap=True)
        tell_details(report, one)
