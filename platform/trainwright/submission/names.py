"""Names of submissions: from the job's name and the content of what is sent."""

from __future__ import annotations

import re

LONGEST = 47
"""KubeRay makes longer names of a RayJob's, which must stay within Kubernetes' 63 characters."""

DIGITS = 8
"""Hexadecimal digits of a parcel's digest in a name."""

MOST = 9999
"""Submissions of one parcel."""

_NUMBER = "[2-9]|[1-9][0-9]{1,3}"  # fewer digits than a digest has, so that none is taken for one
_ID = re.compile(
    rf"(?P<base>[a-z](?:[a-z0-9-]*[a-z0-9])?-[0-9a-f]{{{DIGITS}}})(?:-(?P<number>{_NUMBER}))?"
)
_ROOM = LONGEST - len("-") - DIGITS - len(f"-{MOST}")


def base_of(job: str, digest: str) -> str:
    """The name that all submissions of one parcel begin with.

    Args:
        job: the job's ``name``.
        digest: of the parcel, at least 8 hexadecimal digits.

    Returns:
        A DNS-1035 label, which a RayJob's name must be.

    Example:
        >>> base_of("My.Job_2", "0123456789abcdef")
        'my-job-2-01234567'
        >>> base_of("3d", "0123456789abcdef")
        'job-3d-01234567'
    """
    plain = re.sub(r"[^a-z0-9]+", "-", job.lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"job-{plain}"
    return f"{plain[:_ROOM].rstrip('-')}-{digest[:DIGITS]}"


def submission_id(base: str, number: int) -> str:
    """The name of the submission ``number``, 1 to 9999, of a parcel.

    Example:
        >>> submission_id("quickstart-01234567", 1), submission_id("quickstart-01234567", 2)
        ('quickstart-01234567', 'quickstart-01234567-2')
    """
    return base if number == 1 else f"{base}-{number}"


def parsed(submission: str) -> tuple[str, int] | None:
    """The base and the number of a submission's name; None for a name that is none of ours.

    Example:
        >>> parsed("quickstart-01234567-2")
        ('quickstart-01234567', 2)
        >>> parsed("raysubmit_x")
    """
    match = _ID.fullmatch(submission)
    if match is None or len(submission) > LONGEST:
        return None
    return match["base"], int(match["number"] or 1)
