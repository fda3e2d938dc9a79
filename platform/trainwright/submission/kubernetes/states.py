"""What a RayJob's fields mean for whoever sent it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.resources import Json, annotations_of, labels_of, name_of
from trainwright.submission.progress import Progress
from trainwright.submission.target import State, Submission

_EXIT = re.compile(r"failed with exit code (-?\d+)")
_TERMINAL = ("SUCCEEDED", "FAILED", "STOPPED")


def submission_of(job: Json, why: str = "", details: Mapping[str, str] | None = None) -> Submission:
    """A RayJob as a submission.

    Args:
        job: the RayJob.
        why: what is known besides of why it waits or failed; it goes before KubeRay's own words.
        details: what else a user may want to know.
    """
    notes = annotations_of(job)
    state, says = state_of(job)
    if why and state != "stopped":
        says = f"{says}; {why}" if says and state == "failed" else why
    return Submission(
        id=name_of(job),
        job=notes.get(marks.JOB, name_of(job)),
        state=state,
        says=says,
        progress=Progress.of_text(notes.get(marks.PROGRESS)),
        submitted=seconds_of(job.get("metadata", {}).get("creationTimestamp")),
        ended=_ended(job, state),
        run=notes.get(marks.RUN),
        storage=notes.get(marks.STORAGE),
        details={**_details(job), **(details or {})},
    )


def state_of(job: Json) -> tuple[State, str]:
    """The state of a RayJob, and what there is to say about it by itself."""
    status = job.get("status") or {}
    deployment = status.get("jobDeploymentStatus") or ""
    ray = status.get("jobStatus") or ""
    if deployment == "Complete":
        return _complete(ray, status)
    if deployment in ("Failed", "ValidationFailed"):
        return "failed", _failed(status, job.get("spec") or {})
    if job.get("metadata", {}).get("deletionTimestamp"):
        return "stopped", "it is being deleted"
    if deployment == "Suspended" or (not deployment and is_suspended(job)):
        return ("stopped", "") if was_stopped(job) else ("waiting", _in_queue(job))
    if deployment == "Suspending" or (deployment and is_suspended(job)):
        return "running", "it is being stopped: its pods end"
    if deployment == "Retrying":
        return "waiting", f"{attempt_of(job)}, because the last one failed: {_failure(status)}"
    if deployment == "Running" and ray in ("RUNNING", *_TERMINAL):
        return "running", "" if ray == "RUNNING" else "it has ended; its log is being drained"
    return "waiting", _beginning(deployment, ray)


def is_suspended(job: Json) -> bool:
    """Whether its pods are not to be there: a user or Kueue has said so."""
    return bool((job.get("spec") or {}).get("suspend"))


def was_stopped(job: Json) -> bool:
    """Whether a user has stopped it: one without a queue is suspended by nobody else."""
    return marks.STOPPED in annotations_of(job) or marks.QUEUE not in labels_of(job)


def has_ended(job: Json) -> bool:
    """Whether nothing more will happen to it."""
    return state_of(job)[0] in ("finished", "failed", "stopped")


def attempts_of(job: Json) -> tuple[int, int]:
    """The number of its newest attempt, from 1, and how many there may be."""
    status = job.get("status") or {}
    most = int((job.get("spec") or {}).get("backoffLimit") or 0) + 1
    failed = int(status.get("failed") or 0)
    is_over = status.get("jobDeploymentStatus") == "Failed"
    return max(1, min(most, failed if is_over else failed + 1)), most


def attempt_of(job: Json) -> str:
    """In words: ``attempt 2 of 4``."""
    number, most = attempts_of(job)
    return f"attempt {number} of {most}"


def seconds_of(text: object) -> float | None:
    """Seconds since 1970 of a time as objects have it."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _complete(ray: str, status: Json) -> tuple[State, str]:
    if ray == "SUCCEEDED":
        return "finished", ""
    if ray == "STOPPED":
        return "stopped", ""
    return "failed", _failure(status)


def _in_queue(job: Json) -> str:
    return f"in the queue {labels_of(job).get(marks.QUEUE)}"


def _beginning(deployment: str, ray: str) -> str:
    if not deployment:
        return "KubeRay has not looked at it yet"
    if deployment == "Initializing":
        return "its pods begin"
    if deployment == "Running":
        return "its pods are ready; it is being handed to them"
    return f"KubeRay says {deployment}{f', {ray}' if ray else ''}"


def _failed(status: Json, spec: Json) -> str:
    reason = status.get("reason") or ""
    if reason == "DeadlineExceeded":
        after = spec.get("activeDeadlineSeconds")
        return f"it took longer than {after} s, which `deadline_seconds` in the profile allows"
    if reason == "PreRunningDeadlineExceeded":
        after = spec.get("preRunningDeadlineSeconds")
        return f"it did not run within {after} s, which `pending_seconds` in the profile allows"
    if reason == "JobStatusCheckTimeoutExceeded":
        return "KubeRay could not reach the head of its Ray cluster for minutes"
    if reason == "ValidationFailed" or status.get("jobDeploymentStatus") == "ValidationFailed":
        return f"KubeRay does not take it: {_line(status.get('message'))}"
    return _failure(status)


def _failure(status: Json) -> str:
    """Ray's message holds the end of the log: its last line says most."""
    message = str(status.get("message") or "")
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    match = _EXIT.search(message)
    if match is not None:
        last = f": {lines[-1]}" if len(lines) > 1 else ""
        return _short(f"exit status {match[1]}{last}")
    if status.get("reason") == "SubmissionFailed":
        return _short(f"it could not be handed to its Ray cluster: {_line(message)}")
    return _short(_line(message) or str(status.get("reason") or "KubeRay gives no reason"))


def _line(text: object) -> str:
    return " ".join(str(text or "").split())


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _ended(job: Json, state: State) -> float | None:
    if state not in ("finished", "failed", "stopped"):
        return None
    stopped = annotations_of(job).get(marks.STOPPED, "")
    at = seconds_of((job.get("status") or {}).get("endTime"))
    return float(stopped) if at is None and stopped.isdigit() else at


def _details(job: Json) -> dict[str, str]:
    status: dict[str, Any] = job.get("status") or {}
    found: dict[str, str] = {}
    number, most = attempts_of(job)
    if most > 1:
        found["attempt"] = f"{number} of {most}"
    if queue := labels_of(job).get(marks.QUEUE):
        found["queue"] = queue
    if cluster := status.get("rayClusterName"):
        found["cluster"] = cluster
    if dashboard := status.get("dashboardURL"):
        found["dashboard"] = f"http://{dashboard} inside the cluster"
    return found
