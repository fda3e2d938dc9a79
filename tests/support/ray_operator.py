"""What KubeRay and its Jobs do to a RayJob, done step by step by a test."""

from __future__ import annotations

from typing import Any

from kube.samples import owned_by, pod
from kube.server import KubeServer

Json = dict[str, Any]
FINALIZER = "ray.io/rayjob-finalizer"


class Operator:
    """Moves one RayJob through its life.

    Args:
        server: the API server.
        name: of the RayJob.
        namespace: of it.

    Attributes:
        submitter: name of the submitter pod that was made last.
    """

    def __init__(self, server: KubeServer, name: str, namespace: str = "default") -> None:
        self._server = server
        self._store = server.store
        self._name = name
        self._namespace = namespace
        self._submitters = 0
        self.submitter = ""

    def tell(self, deployment: str, ray: str = "", **more: Any) -> Json:
        """The RayJob has this status."""
        status = {"jobDeploymentStatus": deployment, "jobStatus": ray, **more}
        return self._store.patch("rayjobs", self._name, {"status": status}, self._namespace)

    def note(self, **annotations: str) -> None:
        """The driver notes something on the RayJob: ``progress``, ``run``, ``storage``."""
        notes = {f"trainwright/{key}": value for key, value in annotations.items()}
        changes = {"metadata": {"annotations": notes}}
        self._store.patch("rayjobs", self._name, changes, self._namespace)

    def begin(self, workers: int = 1) -> str:
        """Make a RayCluster with its pods; the name of the cluster."""
        attempt = self._job()["status"]["failed"] if "status" in self._job() else 0
        cluster = f"{self._name}-c{attempt}"
        job = self.tell("Initializing", rayClusterName=cluster, failed=attempt)
        made = self._put(
            {
                "apiVersion": "ray.io/v1",
                "kind": "RayCluster",
                "metadata": {"name": cluster, **owned_by(job)},
                "spec": {"workerGroupSpecs": [{"groupName": "w", "replicas": workers}]},
            }
        )
        for number in range(workers + 1):
            role = "worker" if number else "head"
            labels = {"ray.io/cluster": cluster, "ray.io/node-type": role}
            self._put(
                pod(f"{cluster}-{role}-{number}", (f"ray-{role}",), labels=labels, **owned_by(made))
            )
        return cluster

    def submit(self) -> str:
        """All pods run; the Job is made with its first submitter, whose name this is."""
        cluster = self._job()["status"]["rayClusterName"]
        for found in self._store.list("pods", self._namespace):
            if found["metadata"].get("labels", {}).get("ray.io/cluster") == cluster:
                self._server.kubelet.run(found["metadata"]["name"], namespace=self._namespace)
        job = self.tell("Running", "PENDING", dashboardURL=f"{cluster}-head-svc:8265")
        self._put(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": self._name, **owned_by(job)},
                "spec": {},
            }
        )
        return self.submitter_again()

    def submitter_again(self) -> str:
        """Another submitter of the same attempt; its name."""
        self._submitters += 1
        self.submitter = f"{self._name}-s{self._submitters}"
        job = self._store.get("jobs", self._name, self._namespace)
        labels = {"job-name": self._name}
        # Pods of one second are told apart by their names.
        self._put(pod(self.submitter, ("submitter",), labels=labels, **owned_by(job)))
        return self.submitter

    def run(self) -> None:
        """The job runs."""
        self._server.kubelet.run(self.submitter, namespace=self._namespace)
        self.tell("Running", "RUNNING")

    def log(self, *lines: str) -> None:
        """Lines of the job, as the submitter shows them."""
        for line in lines:
            self._server.log(self.submitter, line, namespace=self._namespace)

    def end(self, ray: str = "SUCCEEDED", **more: Any) -> None:
        """The job ends, then its submitter."""
        self._server.kubelet.exit(self.submitter, namespace=self._namespace)
        deployment = "Failed" if ray == "FAILED" else "Complete"
        self.tell(deployment, ray, endTime="2026-01-01T10:30:00Z", **more)

    def retry(self, **more: Any) -> None:
        """The attempt failed; its pods go, and the next one may begin."""
        failed = self._job()["status"].get("failed", 0) + 1
        self.tell("Retrying", "FAILED", failed=failed, **more)
        self._clear()
        self.tell("", "", rayClusterName="", dashboardURL="", message="", reason="")

    def suspend(self) -> None:
        """A suspended RayJob's pods go."""
        self.tell("Suspending")
        self._clear()
        self.tell("Suspended", "", rayClusterName="", dashboardURL="")

    def _clear(self) -> None:
        cluster = self._job()["status"].get("rayClusterName")
        for resource, name in (("jobs", self._name), ("rayclusters", cluster)):
            if name and name in {
                found["metadata"]["name"] for found in self._store.list(resource, self._namespace)
            }:
                self._store.delete(resource, name, self._namespace)

    def _job(self) -> Json:
        return self._store.get("rayjobs", self._name, self._namespace)

    def _put(self, found: Json) -> Json:
        found["metadata"]["namespace"] = self._namespace
        return self._store.put(found)
