"""A job is sent once: one that is there is joined, one that ended early goes on as the next."""

from __future__ import annotations

import pytest
from pretended_target import PretendedTarget

from trainwright.errors import RunError
from trainwright.submission.names import MOST
from trainwright.submission.parcel import JOB, Need, Parcel
from trainwright.submission.submitting import submit
from trainwright.submission.target import State

PARCEL = Parcel("tiny", {JOB: b"name: tiny\n"}, Need(0, 1.0, 0.0))
OTHER = Parcel("tiny", {JOB: b"name: tiny # another\n"}, Need(0, 1.0, 0.0))
BASE = PARCEL.base


def test_a_new_job_is_sent() -> None:
    target = PretendedTarget()
    target.put(f"{OTHER.base}-7", "running")
    target.put("raysubmit_of_somebody", "running")
    sent = submit(target, PARCEL)
    assert (sent.submission.id, sent.is_new, sent.earlier) == (BASE, True, None)
    assert target.parcels == {BASE: PARCEL}


@pytest.mark.parametrize("state", ["waiting", "running", "finished"])
def test_one_that_is_there_is_joined(state: State) -> None:
    target = PretendedTarget()
    target.put(BASE, "failed")
    there = target.put(f"{BASE}-2", state)
    sent = submit(target, PARCEL)
    assert (sent.submission, sent.is_new, sent.earlier) == (there, False, None)
    assert target.parcels == {}


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_one_that_ended_early_is_followed_by_the_next(state: State) -> None:
    target = PretendedTarget()
    for number in (2, 12):  # the first one and those between were deleted
        last = target.put(f"{BASE}-{number}", state)
    target.put(f"{OTHER.base}-40", state)
    sent = submit(target, PARCEL)
    assert (sent.submission.id, sent.is_new, sent.earlier) == (f"{BASE}-13", True, last)


def test_two_who_send_at_once_get_the_same_one() -> None:
    target = PretendedTarget()
    target.before_create = lambda name: target.put(name, "running")
    sent = submit(target, PARCEL)
    assert (sent.submission.id, sent.is_new) == (BASE, False)


def test_the_other_one_has_failed_by_then() -> None:
    target = PretendedTarget()

    def fail_once(name: str) -> None:
        target.before_create = None
        target.put(name, "failed")

    target.before_create = fail_once
    sent = submit(target, PARCEL)
    assert (sent.submission.id, sent.is_new) == (f"{BASE}-2", True)
    assert sent.earlier is not None
    assert sent.earlier.id == BASE


def test_the_other_one_has_been_deleted_by_then() -> None:
    target = PretendedTarget()
    target.taken = {BASE: 3}
    sent = submit(target, PARCEL)
    assert (sent.submission.id, sent.is_new) == (BASE, True)


def test_a_target_that_contradicts_itself_is_given_up() -> None:
    target = PretendedTarget()
    target.taken = {BASE: 10**6}
    with pytest.raises(RunError, match=f"{BASE} is there, but does not show it"):
        submit(target, PARCEL)


def test_the_last_number() -> None:
    target = PretendedTarget()
    target.put(f"{BASE}-{MOST - 1}", "failed")
    assert submit(target, PARCEL).submission.id == f"{BASE}-{MOST}"
    target.put(f"{BASE}-{MOST}", "stopped")
    with pytest.raises(RunError, match="9999 times"):
        submit(target, PARCEL)
