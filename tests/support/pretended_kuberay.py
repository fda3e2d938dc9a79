"""The KubeRay operator, pretended: it sees RayJobs on the API server and runs them on a real Ray.

It does what KubeRay 1.7 does with a RayJob in K8sJobMode, as far as a submission depends on it: the
same command in the submitter's pod, the same changes of status, retries, suspension. There is one
Ray for all clusters that it "makes".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
import yaml
from kube.clock import now
from kube.samples import owned_by
from kube.server import KubeServer

ORIGIN = "ray.io/originated-from-cr-name"
JOB_LABELS = ("job-name", "batch.kubernetes.io/job-name")
"""Labels by which Kubernetes marks the pods of a Job."""


class Operator(threading.Thread):
    """Watches one namespace until it is closed.

    Args:
        server: the API server.
        namespace: whose RayJobs it cares for.
        dashboard: address of the real Ray.
        environ: environment of submitters, which holds the token.
        folder: takes what submitters mount.
    """

    def __init__(
        self,
        server: KubeServer,
        namespace: str,
        dashboard: str,
        environ: Mapping[str, str],
        folder: Path,
    ) -> None:
        super().__init__(name="operator", daemon=True)
        self._server = server
        self._namespace = namespace
        self._dashboard = dashboard
        self._environ = {**os.environ, **environ}
        self._folder = folder
        self._over = threading.Event()
        self._attempts: dict[str, Attempt] = {}
        self.error: BaseException | None = None

    def __enter__(self) -> Operator:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join(30)
        for attempt in self._attempts.values():
            attempt.end()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Look at all RayJobs again and again."""
        try:
            while not self._over.wait(0.2):
                for job in self._server.store.list("rayjobs", self._namespace):
                    self._reconcile(job)
        except BaseException as error:
            self.error = error

    def _reconcile(self, job: dict[str, Any]) -> None:
        name, status = job["metadata"]["name"], job.get("status", {})
        deployment = status.get("jobDeploymentStatus", "")
        suspended = job["spec"].get("suspend", False)
        if deployment in ("", "Suspended", "Retrying"):
            if suspended:
                self._say(name, jobDeploymentStatus="Suspended", jobStatus="")
            else:
                self._begin(job)
        elif deployment in ("Initializing", "Running"):
            if suspended:
                self._attempts[name].stop()
                self._say(name, jobDeploymentStatus="Suspended", jobStatus="", jobId="")
            else:
                self._look(job)

    def _begin(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        number = job.get("status", {}).get("failed", 0) + 1
        attempt = Attempt(self, job, number)
        self._attempts[name] = attempt
        self._say(
            name,
            jobDeploymentStatus="Initializing",
            jobStatus="",
            jobId=attempt.id,
            rayClusterName=f"{name}-{number}",
            startTime=now(),
        )
        attempt.start()

    def _look(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        attempt = self._attempts[name]
        state = attempt.state()
        if state is None:
            return
        if state in ("PENDING", "RUNNING"):
            self._say(name, jobDeploymentStatus="Running", jobStatus=state)
            return
        attempt.drain()
        status = job.get("status", {})
        succeeded = state == "SUCCEEDED"
        failed = status.get("failed", 0) + (not succeeded)
        retries = job["spec"].get("backoffLimit", 0)
        again = not succeeded and failed <= retries
        ended = "Complete" if succeeded else "Retrying" if again else "Failed"
        self._say(
            name,
            jobDeploymentStatus=ended,
            jobStatus="" if again else state,
            failed=failed,
            succeeded=int(succeeded),
            **({} if succeeded or again else {"reason": "AppFailed", "message": attempt.message}),
            **({} if again else {"endTime": now()}),
        )

    def _say(self, name: str, **status: Any) -> None:
        store = self._server.store
        with store.changed:
            found = store.get("rayjobs", name, self._namespace)
            if all(found.get("status", {}).get(key) == value for key, value in status.items()):
                return
            store.patch("rayjobs", name, {"status": status}, self._namespace)


class Attempt:
    """One attempt at a RayJob: its submitter's pod, and the job on Ray."""

    def __init__(self, operator: Operator, job: dict[str, Any], number: int) -> None:
        self._operator = operator
        self._job = job
        name = job["metadata"]["name"]
        # All "clusters" are one Ray, which knows every name but once.
        self.id = job["spec"]["jobId"] + (f"--{number}" if number > 1 else "")
        self._pod = f"{name}-{number}-abcde"
        self.message = ""
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Make the submitter's pod and run its command."""
        spec = self._job["spec"]
        template = spec["submitterPodTemplate"]
        self._make_pod(template)
        mounted = self._mounted(template["spec"])
        environment = yaml.safe_load(spec["runtimeEnvYAML"])
        environment["working_dir"] = str(mounted[environment["working_dir"]])
        ray = f"{sys.executable} -m ray.scripts.scripts"
        address = f"--address {self._operator._dashboard}"
        quoted = json.dumps(json.dumps(environment))
        command = (
            f"{ray} job submit {address} --no-wait --runtime-env-json {quoted} "
            f"--submission-id {self.id} -- {spec['entrypoint']} ; "
            f"{ray} job logs {address} --follow {self.id}"
        )
        self._process = subprocess.Popen(
            ["/bin/bash", "-ce", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._operator._environ,
            start_new_session=True,
        )
        self._reader.start()

    def _make_pod(self, template: dict[str, Any]) -> None:
        """The submitter's Job, named as the RayJob, and its pod."""
        store, name = self._operator._server.store, self._job["metadata"]["name"]
        self._remove_pod()
        where = {"namespace": self._operator._namespace}
        job = store.put(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {**where, "name": name, **owned_by(self._job)},
                "spec": {"template": template},
            }
        )
        labels = {**template["metadata"]["labels"], ORIGIN: name, **dict.fromkeys(JOB_LABELS, name)}
        metadata = {**where, "name": self._pod, "labels": labels, **owned_by(job)}
        spec = template["spec"]
        store.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def _remove_pod(self) -> None:
        store, where = self._operator._server.store, self._operator._namespace
        name = self._job["metadata"]["name"]
        if any(job["metadata"]["name"] == name for job in store.list("jobs", where)):
            store.delete("jobs", name, where)

    def state(self) -> str | None:
        """What Ray says of the job; None as long as it does not know it."""
        answer = self._ask("GET", "")
        if answer.status_code != 200:
            return None
        details = answer.json()
        self.message = details.get("message") or ""
        found: str = details["status"]
        return found

    def stop(self) -> None:
        """Take the cluster down: the pods' hooks stop the job first."""
        self._ask("POST", "/stop")
        while self.state() in ("PENDING", "RUNNING"):
            time.sleep(0.2)
        self.drain()
        self._remove_pod()

    def _ask(self, method: str, path: str) -> requests.Response:
        """Ask Ray's Jobs API; its own client would keep the token for the rest of this process."""
        operator = self._operator
        url = f"{operator._dashboard}/api/jobs/{self.id}{path}"
        headers = {"Authorization": f"Bearer {operator._environ['RAY_AUTH_TOKEN']}"}
        return requests.request(method, url, headers=headers, timeout=30)

    def drain(self) -> None:
        """Wait until the submitter has printed all; one that hangs is ended, as KubeRay does it."""
        if self._process is not None:
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.end()
            self._reader.join(60)

    def end(self) -> None:
        """End the submitter."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        kubelet, where = self._operator._server.kubelet, {"namespace": self._operator._namespace}
        kubelet.run(self._pod, **where)
        for line in self._process.stdout:
            kubelet.log(self._pod, line.rstrip("\n"), **where)
        kubelet.exit(self._pod, self._process.wait(), **where)

    def _mounted(self, pod: dict[str, Any]) -> dict[str, Path]:
        """The ConfigMaps of a pod, laid out as a kubelet does it: mount path -> folder."""
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        found = {}
        for mount in pod["containers"][0]["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "configMap" not in volume:
                continue
            folder = self._operator._folder / self._pod / mount["name"]
            self._lay_out(volume["configMap"], folder)
            found[mount["mountPath"]] = folder
        return found

    def _lay_out(self, source: dict[str, Any], folder: Path) -> None:
        store = self._operator._server.store
        held = store.get("configmaps", source["name"], self._operator._namespace)["data"]
        items = source.get("items") or [{"key": key, "path": key} for key in held]
        for item in items:
            file = folder / "..2026" / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(held[item["key"]])
        (folder / "..data").symlink_to("..2026")
        for top in sorted({item["path"].split("/")[0] for item in items}):
            (folder / top).symlink_to(f"..data/{top}")
