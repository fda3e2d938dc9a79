"""Sending a job once: what is there already is joined, what ended early goes on as the next one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trainwright.errors import RunError
from trainwright.submission.names import MOST, parsed, submission_id
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
        RunError: it has taken all numbers there are, or contradicts itself.
    """
    newest = newest_of(target.all(), parcel.base)
    for _ in range(_MOST_TRIES):
        if newest is not None and newest.state not in ("failed", "stopped"):
            return Sent(newest, is_new=False)
        number = 1 if newest is None else number_of(newest) + 1
        if number > MOST:
            raise RunError(f"{parcel.base} was sent {MOST} times, and more numbers there are not")
        name = submission_id(parcel.base, number)
        try:
            made = target.create(name, parcel)
        except AlreadyThere:
            # Somebody else sent the same job in this moment, or has removed it again by now.
            newest = target.find(name) or newest
            continue
        return Sent(made, is_new=True, earlier=newest)
    raise RunError(f"{target.label} says that {name} is there, but does not show it")


def newest_of(submissions: Iterable[Submission], base: str) -> Submission | None:
    """The submission of a parcel with the highest number."""
    ours = [found for found in submissions if (parsed(found.id) or ("", 0))[0] == base]
    return max(ours, key=number_of, default=None)


def number_of(submission: Submission) -> int:
    """Which one of its parcel a submission is, from 1; 0 if it is none of Trainwright's."""
    found = parsed(submission.id)
    return 0 if found is None else found[1]
