"""What a RayJob's status means to whoever sent it: KubeRay's states, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from ray_objects import CLUSTER, JOB, ray_job

from trainwright.submission.kubernetes.states import attempts_of, state_of, submission_of

Json = dict[str, Any]
QUEUE = {"kueue.x-k8s.io/queue-name": "team"}
TRACEBACK = (
    "Job entrypoint command failed with exit code 2, last available logs (truncated to 20,000 "
    "chars):\nTraceback (most recent call last):\n  File x\nValueError: no such column\n"
)


def status(deployment: str, ray: str = "", **more: Any) -> Json:
    return {"jobDeploymentStatus": deployment, "jobStatus": ray, **more}


STATES: dict[str, tuple[Json, str, str]] = {
    "new": (ray_job(), "waiting", "KubeRay has not looked at it yet"),
    "pods": (ray_job(status("Initializing")), "waiting", "its pods begin"),
    "handing over": (ray_job(status("Running", "PENDING")), "waiting", "its pods are ready"),
    "running": (ray_job(status("Running", "RUNNING")), "running", ""),
    "draining": (ray_job(status("Running", "SUCCEEDED")), "running", "its log is being drained"),
    "finished": (ray_job(status("Complete", "SUCCEEDED")), "finished", ""),
    "stopped in Ray": (ray_job(status("Complete", "STOPPED")), "stopped", ""),
    "stuck": (
        ray_job(status("Complete", "RUNNING", message="no transition")),
        "failed",
        "no transition",
    ),
    "failed": (
        ray_job(status("Failed", "FAILED", reason="AppFailed", message=TRACEBACK)),
        "failed",
        "exit status 2: ValueError: no such column",
    ),
    "not handed over": (
        ray_job(status("Failed", reason="SubmissionFailed", message="Job submission has failed.")),
        "failed",
        "it could not be handed to its Ray cluster: Job submission has failed.",
    ),
    "too long": (
        ray_job(status("Failed", reason="DeadlineExceeded"), spec={"activeDeadlineSeconds": 60}),
        "failed",
        "it took longer than 60 s, which `deadline_seconds` in the profile allows",
    ),
    "too late": (
        ray_job(
            status("Failed", reason="PreRunningDeadlineExceeded"),
            spec={"preRunningDeadlineSeconds": 5},
        ),
        "failed",
        "it did not run within 5 s, which `pending_seconds` in the profile allows",
    ),
    "head out of reach": (
        ray_job(status("Failed", reason="JobStatusCheckTimeoutExceeded")),
        "failed",
        "KubeRay could not reach the head",
    ),
    "invalid": (
        ray_job(status("ValidationFailed", reason="ValidationFailed", message="bad\nspec")),
        "failed",
        "KubeRay does not take it: bad spec",
    ),
    "retrying": (
        ray_job(status("Retrying", "FAILED", failed=1, reason="AppFailed", message=TRACEBACK)),
        "waiting",
        "attempt 2 of 4, because the last one failed: exit status 2: ValueError",
    ),
    "stopping": (
        ray_job(status("Running", "RUNNING"), spec={"suspend": True}),
        "running",
        "it is being stopped",
    ),
    "suspending": (ray_job(status("Suspending")), "running", "it is being stopped"),
    "stopped": (ray_job(status("Suspended"), spec={"suspend": True}), "stopped", ""),
    "stopped before anything": (ray_job(spec={"suspend": True}), "stopped", ""),
    "in a queue": (
        ray_job(spec={"suspend": True}, labels=QUEUE),
        "waiting",
        "in the queue team",
    ),
    "back in the queue": (
        ray_job(status("Suspended"), spec={"suspend": True}, labels=QUEUE),
        "waiting",
        "in the queue team",
    ),
    "stopped in the queue": (
        ray_job(
            status("Suspended"),
            spec={"suspend": True},
            labels=QUEUE,
            annotations={"trainwright/stopped": "1767261600"},
        ),
        "stopped",
        "",
    ),
    "being deleted": (
        ray_job(status("Running", "RUNNING"), deletionTimestamp="2026-01-01T11:00:00Z"),
        "stopped",
        "it is being deleted",
    ),
    "from the future": (ray_job(status("Dreaming", "ASLEEP")), "waiting", "Dreaming, ASLEEP"),
}


@pytest.mark.parametrize("name", STATES)
def test_state(name: str) -> None:
    job, state, says = STATES[name]
    told = state_of(job)
    assert told[0] == state
    assert says in told[1] if says else not told[1]
    assert "\n" not in told[1]
    found = submission_of(job)
    assert (found.id, found.job, found.state) == (JOB, "digits", state)
    assert found.submitted == 1767261600


@pytest.mark.parametrize(
    ("deployment", "failed", "attempt"),
    [("Initializing", 0, 1), ("Running", 2, 3), ("Retrying", 1, 2), ("Failed", 4, 4)],
)
def test_attempts(deployment: str, failed: int, attempt: int) -> None:
    assert attempts_of(ray_job(status(deployment, failed=failed))) == (attempt, 4)
    assert attempts_of(ray_job(status(deployment, failed=failed), spec={"backoffLimit": 0}))[1] == 1


def test_what_the_driver_has_noted() -> None:
    notes = {
        "trainwright/progress": '{"step":120,"total":560,"unit":"steps","seconds_left":41}',
        "trainwright/run": "digits-9f",
        "trainwright/storage": "s3://bucket/runs/digits-9f",
    }
    running = status(
        "Running",
        "RUNNING",
        rayClusterName=CLUSTER,
        dashboardURL=f"{CLUSTER}-head-svc.default.svc.cluster.local:8265",
        failed=1,
    )
    found = submission_of(ray_job(running, annotations=notes, labels=QUEUE), "", {"pods": "x"})
    assert found.progress is not None
    assert found.progress.line == "step 120 of 560 (21%), 0:41 left"
    assert (found.run, found.storage) == ("digits-9f", "s3://bucket/runs/digits-9f")
    assert found.details == {
        "attempt": "2 of 4",
        "queue": "team",
        "cluster": CLUSTER,
        "dashboard": f"http://{CLUSTER}-head-svc.default.svc.cluster.local:8265 inside the cluster",
        "pods": "x",
    }


def test_when_it_ended() -> None:
    done = status("Complete", "SUCCEEDED", endTime="2026-01-01T10:30:00Z")
    assert submission_of(ray_job(done)).ended == 1767261600 + 1800
    stopped = {"trainwright/stopped": "1767262000"}
    job = ray_job(status("Suspended"), spec={"suspend": True}, annotations=stopped)
    assert submission_of(job).ended == 1767262000
    assert submission_of(ray_job(status("Running", "RUNNING", endTime=None))).ended is None


def test_why_goes_with_it() -> None:
    failed = ray_job(status("Failed", reason="AppFailed", message="lost"))
    assert submission_of(failed, "it took more memory").says == "lost; it took more memory"
    assert submission_of(ray_job(), "no node").says == "no node"
    assert submission_of(ray_job(status("Suspended")), "no node").says == ""
    long = ray_job(status("Failed", message=f"{'x' * 1000}"))
    assert len(submission_of(long).says) == 300
