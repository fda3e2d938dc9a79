"""Collecting what a cluster knows of a submission."""

from __future__ import annotations

import time

from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.errors import Refusal
from trainwright.submission.kubernetes.explain.scene import JOB_NAME, Scene
from trainwright.submission.kubernetes.explain.why import pods_line, why
from trainwright.submission.kubernetes.resources import (
    EVENTS,
    PODS,
    RAYCLUSTERS,
    WORKLOADS,
    Json,
    Resource,
    labels_of,
    name_of,
)
from trainwright.submission.kubernetes.states import state_of, submission_of
from trainwright.submission.target import Submission

JOB_UID = "kueue.x-k8s.io/job-uid"
"""Label of Kueue's on the record of a job."""

CLUSTER = "ray.io/cluster"
"""Label of KubeRay's on pods: their RayCluster; in a RayJob's selector, the one it runs on."""


class Looker:
    """Looks at a submission and all around it.

    Args:
        api: the API server.
        namespace: of the submission.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def look(self, job: Json) -> Submission:
        """A RayJob as a submission, with why it waits or failed."""
        if state_of(job)[0] in ("finished", "stopped"):
            return submission_of(job)
        scene = self.scene(job)
        details = {"pods": line} if (line := pods_line(scene)) else {}
        return submission_of(job, why(scene), details)

    def scene(self, job: Json) -> Scene:
        """The objects around a RayJob; kinds that the user may not read are left out."""
        unseen: list[str] = []
        name = (job.get("status") or {}).get("rayClusterName") or (
            (job.get("spec") or {}).get("clusterSelector") or {}
        ).get(CLUSTER)
        pods = self._list(PODS, unseen, labels=f"{JOB_NAME}={name_of(job)}")
        cluster = None
        if name:
            cluster = self._find(RAYCLUSTERS, name, unseen)
            pods = [*self._list(PODS, unseen, labels=f"{CLUSTER}={name}"), *pods]
        names = {name_of(job), name, *map(name_of, pods)}
        events = [
            event
            for fields in ("type=Warning", "reason=Pulling")
            for event in self._list(EVENTS, unseen, fields=fields)
            if (event.get("involvedObject") or {}).get("name") in names
        ]
        return Scene(
            job,
            cluster,
            tuple(pods),
            tuple(events),
            self.workload(job, unseen),
            time.time(),
            tuple(unseen),
        )

    def submitters(self, job: Json) -> list[Json]:
        """The pods whose log is that of the job, the oldest first."""
        labels = f"{JOB_NAME}={name_of(job)}"
        found = self._api.list(PODS, self._namespace, labels=labels).items
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], name_of(pod)))

    def workload(self, job: Json, unseen: list[str] | None = None) -> Json | None:
        """Kueue's record of a job; None where there is none, or no Kueue.

        Args:
            job: the RayJob.
            unseen: where to note that the user may not read it; None: that is an error.
        """
        if marks.QUEUE not in labels_of(job):
            return None
        for resource in WORKLOADS:
            try:
                labels = f"{JOB_UID}={job['metadata']['uid']}"
                found = self._api.list(resource, self._namespace, labels=labels).items
            except Refusal as error:
                if error.is_type_missing:
                    continue
                if error.status != 403 or unseen is None:
                    raise
                unseen.append(resource.plural)
                return None
            return found[0] if found else None
        return None

    def _list(
        self, resource: Resource, unseen: list[str], labels: str = "", fields: str = ""
    ) -> list[Json]:
        if resource.plural in unseen:
            return []
        try:
            return self._api.list(resource, self._namespace, labels, fields).items
        except Refusal as error:
            if error.status != 403:
                raise
            unseen.append(resource.plural)
            return []

    def _find(self, resource: Resource, name: str, unseen: list[str]) -> Json | None:
        try:
            return self._api.find(resource, self._namespace, name)
        except Refusal as error:
            if error.status != 403:
                raise
            unseen.append(resource.plural)
            return None
