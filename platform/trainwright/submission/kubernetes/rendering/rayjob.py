"""The RayJob of a submission, with a Ray cluster of its own or for one that runs already."""

from __future__ import annotations

from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.rendering.extras import Manifest, metadata
from trainwright.submission.kubernetes.rendering.pods import head_pod, submitter_pod, worker_pod
from trainwright.submission.kubernetes.rendering.sizes import replicas_for, whole_cpus
from trainwright.submission.kubernetes.rendering.volumes import PARCEL_FOLDER
from trainwright.submission.parcel import ENTRY_MODULE, STOP_WAIT, SUBMISSION, Parcel
from trainwright.submission.profile import Profile
from trainwright.submission.readable import yaml_of

QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"

_SUBMITTER_RETRIES = 10
"""A submitter that fails has lost sight of Ray's head; the next one asks whether the job is there.

A job that fails does not make it fail.
"""


def ray_job(submission: str, parcel: Parcel, profile: Profile) -> Manifest:
    """The RayJob.

    Raises:
        InputError: the pods of the profile do not hold the processes of the job.
    """
    whole = metadata(submission, profile)
    whole["annotations"] = {
        marks.JOB: parcel.name,
        marks.KIND: parcel.kind,
        marks.DIGEST: parcel.digest,
        **({marks.RUN: parcel.run} if parcel.run is not None else {}),
    }
    spec: Manifest = {
        "entrypoint": f"python -m {ENTRY_MODULE}",
        # Retries on another cluster, and a submitter that begins anew, mean this job.
        "jobId": submission,
        "runtimeEnvYAML": _runtime_env(submission, profile),
        "submissionMode": "K8sJobMode",
        "submitterConfig": {"backoffLimit": _SUBMITTER_RETRIES},
        "submitterPodTemplate": submitter_pod(submission, parcel, profile),
        "preRunningDeadlineSeconds": profile.pending_seconds,
    }
    if profile.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = profile.deadline_seconds
    if profile.cluster is not None:
        spec["clusterSelector"] = {"ray.io/cluster": profile.cluster}
    else:
        spec |= _on_its_own_cluster(submission, parcel, profile)
    if profile.queue is not None:
        whole["labels"][QUEUE] = profile.queue
        if profile.priority is not None:
            whole["labels"][PRIORITY] = profile.priority
        spec["suspend"] = True  # Kueue ends the suspension
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": whole, "spec": spec}


def _runtime_env(submission: str, profile: Profile) -> str:
    """Where Ray finds the parcel, and what the driver has to know.

    KubeRay puts all of this between double quotes of a shell, so that every value in here is one
    of ours or a name.
    """
    variables = {
        SUBMISSION: submission,
        STOP_WAIT: str(profile.stop_seconds),
    }
    if profile.annotate:
        variables[marks.RAYJOB] = f"{profile.namespace}/{submission}"
    values = {
        "working_dir": PARCEL_FOLDER,
        # A mounted ConfigMap has links to hidden folders, which hold all its files again.
        "excludes": ["..*"],
        "env_vars": variables,
    }
    return yaml_of(values)


def _on_its_own_cluster(submission: str, parcel: Parcel, profile: Profile) -> Manifest:
    return {
        "backoffLimit": profile.retries,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": profile.keep_seconds,
        "rayClusterSpec": _ray_cluster(submission, parcel, profile),
    }


def _ray_cluster(submission: str, parcel: Parcel, profile: Profile) -> Manifest:
    replicas = replicas_for(parcel.need, profile.worker)
    trains = replicas == 0
    cluster: Manifest = {
        "rayVersion": profile.ray_version,
        # The operator makes the token and gives it to the pods.
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": {
                "dashboard-host": "0.0.0.0",  # noqa: S104 - its NetworkPolicy says who reaches it
                **(_resources(profile) if trains else {"num-cpus": "0"}),
            },
            "template": head_pod(submission, profile, trains),
        },
    }
    if not trains:
        cluster["workerGroupSpecs"] = [
            {
                "groupName": "workers",
                "replicas": replicas,
                "minReplicas": replicas,
                "maxReplicas": replicas,
                "rayStartParams": _resources(profile),
                "template": worker_pod(submission, profile),
            }
        ]
    return cluster


def _resources(profile: Profile) -> dict[str, str]:
    """What a pod that trains has, as Ray counts it; KubeRay would round a share of a CPU up."""
    return {
        "num-cpus": str(whole_cpus(profile.worker.cpu)),
        "num-gpus": str(profile.worker.gpu),
    }
