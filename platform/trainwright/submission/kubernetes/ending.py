"""Stopping and deleting submissions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from trainwright.errors import Problem
from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.looking import Looker
from trainwright.submission.kubernetes.resources import (
    CONFIGMAPS,
    NETWORKPOLICIES,
    RAYJOBS,
    WORKLOADS,
    Json,
    name_of,
)
from trainwright.submission.kubernetes.states import has_ended, submission_of
from trainwright.submission.target import Submission, TargetError

_LOOK_S = 1.0
_SLACK_S = 120.0
"""KubeRay looks every few seconds, and pods take a while to go once their processes have ended."""

_GONE_S = 60.0
_FINALIZER = "ray.io/rayjob-finalizer"


class Ender:
    """Ends submissions.

    Args:
        api: the API server.
        namespace: where they are.
        looker: looks at them.
        grace_s: that pods have to write a checkpoint.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        looker: Looker,
        grace_s: float,
        sleep: Callable[[float], None],
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._looker = looker
        self._grace_s = grace_s
        self._sleep = sleep

    def stop(self, job: Json) -> Submission:
        """Stop a RayJob and wait until its pods are gone.

        One on a cluster of its own is suspended, which keeps its record. In a queue, Kueue would
        let a suspended one in again: there Kueue's record is made inactive. One on a cluster that
        others use cannot be suspended and is deleted; KubeRay stops its job then.
        """
        if (job.get("spec") or {}).get("clusterSelector"):
            self.delete(job)
            says = "stopped; its RayJob had to be deleted, for it ran on a cluster of others"
            return replace(submission_of(job), state="stopped", says=says, ended=time.time())
        note = {"metadata": {"annotations": {marks.STOPPED: f"{time.time():.0f}"}}}
        suspends = {**note, "spec": {"suspend": True}}
        record = self._looker.workload(job)
        self._api.patch(RAYJOBS, self._namespace, name_of(job), note if record else suspends)
        if record is not None:
            version = str(record.get("apiVersion", "")).rpartition("/")[2]
            resource = next(one for one in WORKLOADS if one.version == version)
            changes = {"spec": {"active": False}}
            self._api.patch(resource, self._namespace, name_of(record), changes)
        return self._wait(name_of(job))

    def delete(self, job: Json) -> None:
        """Delete a RayJob and what was made for it, and wait until it is gone.

        What it owns is deleted in the background, so that the same job can be sent again at once.
        """
        name, uid = name_of(job), job["metadata"]["uid"]
        self._api.delete(RAYJOBS, self._namespace, name, uid=uid)
        labels = f"{marks.MANAGED_BY}={marks.OURS},{marks.SUBMISSION}={name}"
        for resource in (CONFIGMAPS, NETWORKPOLICIES):
            # The owner takes them along; but a sender that died has given them no owner.
            for found in self._api.list(resource, self._namespace, labels=labels).items:
                self._api.delete(
                    resource, self._namespace, name_of(found), uid=found["metadata"]["uid"]
                )
        for _ in range(int(_GONE_S / _LOOK_S)):
            left = self._api.find(RAYJOBS, self._namespace, name)
            if left is None or left["metadata"]["uid"] != uid:
                return
            self._sleep(_LOOK_S)
        problem = Problem(
            "",
            f"{name} is marked as deleted, but KubeRay has not let go of it ({_FINALIZER})",
            mend="is its operator running? It goes as soon as it is: "
            "`kubectl get pods -A -l app.kubernetes.io/name=kuberay-operator`",
        )
        raise TargetError(problem)

    def _wait(self, name: str) -> Submission:
        job: Json | None = None
        for _ in range(int((self._grace_s + _SLACK_S) / _LOOK_S)):
            job = self._api.find(RAYJOBS, self._namespace, name)
            if job is None:
                problem = Problem("", f"somebody deleted {name} while it was being stopped")
                raise TargetError(problem)
            if has_ended(job):
                return submission_of(job)
            self._sleep(_LOOK_S)
        assert job is not None
        says = "it is told to stop, but its pods have not ended yet"
        return replace(self._looker.look(job), says=says)
