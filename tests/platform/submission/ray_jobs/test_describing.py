"""What Ray's answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.submission.progress import Progress
from trainwright.submission.ray_jobs.describing import described, is_ours

TAIL = "Job entrypoint command failed with exit code {}, last available logs (truncated):\n{}"
OF_RAY = (
    "2026-11-30 20:30:50,977\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
    "Running entrypoint for job a-01234567: exec python -m trainwright.submission.inside\n"
)


def details(**changes: Any) -> Any:
    """Ray's details of a job that runs."""
    from ray.job_submission import JobDetails

    values = {
        "type": "SUBMISSION",
        "submission_id": "a-01234567",
        "status": "RUNNING",
        "entrypoint": "python",
        "start_time": 1_796_070_578_502,
        "metadata": {"trainwright": "1", "job": "a", "run": "a-76543210", "storage": "s3://b/r"},
        **changes,
    }
    return JobDetails(**values)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", "waiting"),
        ("RUNNING", "running"),
        ("SUCCEEDED", "finished"),
        ("FAILED", "failed"),
        ("STOPPED", "stopped"),
    ],
)
def test_every_status_of_rays_has_a_state(status: str, state: str) -> None:
    told = described("http://h", details(status=status, end_time=1_796_070_601_095))
    assert told.state == state
    assert (told.id, told.job, told.run, told.storage) == (
        *("a-01234567", "a", "a-76543210", "s3://b/r"),
    )
    assert told.submitted == 1_796_070_578.502
    assert told.ended == (1_796_070_601.095 if told.has_ended else None)


def test_all_of_rays_statuses_are_known() -> None:
    from ray.job_submission import JobStatus

    for status in JobStatus:
        assert described("http://h", details(status=status)).state


@pytest.mark.parametrize(
    ("code", "log", "says"),
    [
        (1, "step 1\nfailed: worker 0 failed: E: x\n  at: f.py:5\n  note: n\n", "worker 0 failed"),
        (1, 'Traceback (most recent call last):\n  File "x"\nValueError: bad\n', "ValueError: bad"),
        (1, "ValueError: first\nerror: last\nnote: see doctor\n", "exit status 1: last"),
        (2, "data.source: no such file\n    got: 'x'\n    mend: y\n", "refused: data.source: no "),
        (127, "/bin/sh: 1: /x/python: not found\n", "there is no such Python there"),
        (-9, "step 1\n", "ended by SIGKILL, as where memory runs out: step 1"),
        (143, "", "its driver was ended by SIGTERM"),
        (77, "", "exit status 77"),
        (255, "", "exit status 255"),
    ],
    ids=["failed", "traceback", "error", "refused", "no-python", "killed", "ended", "77", "255"],
)
def test_a_failure_is_told_in_one_line(code: int, log: str, says: str) -> None:
    message = TAIL.format(code, OF_RAY + log)
    told = described("http://h", details(status="FAILED", message=message, driver_exit_code=code))
    assert says in told.says
    assert "\n" not in told.says
    assert "job_manager" not in told.says
    assert "Running entrypoint" not in told.says


def test_a_failure_of_rays_own_is_its_first_line() -> None:
    message = "runtime_env setup failed: Failed to set up.\nTraceback ...\n"
    told = described("http://h", details(status="FAILED", message=message))
    assert told.says == "runtime_env setup failed: Failed to set up."


def test_a_waiting_job_says_what_ray_says() -> None:
    told = described("http://h", details(status="PENDING", message="Job has not started yet."))
    assert told.says == "Job has not started yet"


def test_progress_and_the_name_of_the_run_are_read_from_the_log() -> None:
    log = [
        "run a-11111111, going on from an earlier attempt, in s3://b/r/a-11111111; training",
        "progress: step 10 of 100 (10%), 1:30 left",
        "progress: step 20 of 100 (20%), 1:20 left",
        "a line of anybody's",
    ]
    told = described("http://h", details(metadata={"trainwright": "1"}), log)
    assert told.run == "a-11111111"
    assert told.progress == Progress(20, 100, "steps", 80)
    told = described("http://h", details(), [*log, "progress: made by a plugin"])
    assert told.run == "a-76543210"
    assert told.progress is None


def test_jobs_of_others_are_told_apart() -> None:
    assert is_ours(details())
    assert not is_ours(details(metadata=None))
    assert not is_ours(details(metadata={"job": "a"}))
    assert not is_ours(details(type="DRIVER", submission_id=None))
