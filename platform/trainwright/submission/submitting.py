"""Sending a job once: what is there already is joined, what ended early goes on as the next one."""

from __future__ import annotations

from dataclasses import dataclass

from trainwright.errors import RunError
from trainwright.submission.names import parsed, submission_id
from trainwright.submission.parcel import Parcel
from trainwright.submission.target import AlreadyThere, Submission, Target

_MOST_TRIES = 20


@dataclass(frozen=True)
class Sent:
    """What became of a parcel.

    Attributes:
        submission: as it is now.
        is_new: whether this call made it; otherwise it was there.
        earlier: an earlier submission of the same parcel that ended without being finished.
    """

    submission: Submission
    is_new: bool
    earlier: Submission | None = None


def submit(target: Target, parcel: Parcel) -> Sent:
    """Send a parcel, unless the same one waits, runs or is finished there.

    One that failed or was stopped is followed by another submission with the next number: its run
    has the same name and goes on from its last checkpoint, and what the earlier one left stays.

    Raises:
        TargetError: the target cannot be reached or does not take it.
    """
    for _ in range(_MOST_TRIES):
        newest = newest_of(target, parcel.base)
        if newest is not None and newest.state not in ("failed", "stopped"):
            return Sent(newest, is_new=False)
        number = 1 if newest is None else _number(newest) + 1
        try:
            made = target.create(submission_id(parcel.base, number), parcel)
        except AlreadyThere:
            continue  # somebody else sent the same job in this moment
        return Sent(made, is_new=True, earlier=newest)
    raise RunError(f"{target.label} says that {parcel.base} is there, but does not list it")


def newest_of(target: Target, base: str) -> Submission | None:
    """The submission of a parcel with the highest number."""
    ours = [found for found in target.all() if (parsed(found.id) or ("", 0))[0] == base]
    return max(ours, key=_number, default=None)


def _number(submission: Submission) -> int:
    found = parsed(submission.id)
    assert found is not None
    return found[1]
