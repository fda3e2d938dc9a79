"""``trainwright stop``."""

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
from trainwright.cli.submissions import line_of


def stop(
    submission: Sent,
    to: To,
    profile: Profile = None,
    namespace: Namespace = None,
    context: Context = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop a submitted job; its checkpoints stay, and so does its record.

    Submitting the same job again goes on from the last checkpoint.

    Examples:
    $ trainwright stop quickstart-3f2a91c0 --to k8s

    Exit status: 0 stopped, or it had ended before; 2 no such submission, or a
    target that cannot be used.
    """
    with reporting(as_json) as report:
        target = target_of(to, profile, namespace, context, ca_file)
        one = found(target, submission)
        if one.has_ended:
            report.remark("it had ended before")
        else:
            one = target.stop(one.id)
            report.remark("submitting the same job again goes on from the last checkpoint")
        report.answer = {"status": one.state, **one.to_json()}
        report.out.print(line_of(one), soft_wrap=True)
