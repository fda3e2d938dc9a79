"""Why a submission waits: every cause that a cluster can have, in one line that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from ray_objects import (
    CLUSTER,
    JOB,
    condition,
    container_in,
    held,
    ray_cluster,
    ray_job,
    ray_pod,
    ready_pod,
    unscheduled,
    warning,
    workload,
)

from trainwright.submission.kubernetes.explain.scene import Scene
from trainwright.submission.kubernetes.explain.why import pods_line, why
from trainwright.submission.kubernetes.states import seconds_of

Json = dict[str, Any]

BEGINS = {"jobDeploymentStatus": "Initializing", "rayClusterName": CLUSTER}
RUNS = {**BEGINS, "jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
FAILED = {**BEGINS, "jobDeploymentStatus": "Failed", "reason": "AppFailed"}
OOM = {"exitCode": 137, "reason": "OOMKilled"}


def scene(*pods: Json, job: Json | None = None, cluster: Any = "own", **more: Any) -> Scene:
    found = ray_cluster() if cluster == "own" else cluster
    now = seconds_of("2026-01-01T10:01:00Z") or 0.0
    more["events"] = tuple(more.get("events", ()))
    return Scene(job or ray_job(BEGINS), found, pods, now=now, **more)


def check(found: Scene, *fragments: str) -> None:
    line = why(found)
    assert "\n" not in line
    assert [part for part in fragments if part not in line] == [], line


SCHEDULER = {
    "GPUs": (
        "0/5 nodes are available: 1 node(s) had untolerated taint "
        "{node-role.kubernetes.io/control-plane: }, 2 Insufficient cpu, 4 Insufficient "
        "nvidia.com/gpu. preemption: 0/5 nodes are available: 5 No preemption victims found.",
        "2 worker pods wait for a node (1 nvidia.com/gpu, 4 cpu, 16Gi memory each): of 5 nodes 1 "
        "has the taint node-role.kubernetes.io/control-plane, 2 have too little cpu free, 4 have "
        "too little nvidia.com/gpu free; wait until a GPU is free, or lower `worker.gpu` in the "
        "profile",
    ),
    "memory": (
        "0/3 nodes are available: 3 Insufficient memory.",
        "of 3 nodes 3 have too little memory free; wait until memory is free, or lower "
        "`worker.memory`",
    ),
    "cpu": ("0/1 nodes are available: 1 Insufficient cpu.", "1 has too little cpu free"),
    "disk": ("0/1 nodes are available: 1 Insufficient ephemeral-storage.", "lower `scratch`"),
    "taints": (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) had untolerated taint "
        "{nvidia.com/gpu: present}.",
        "1 has been cordoned, 2 have the taint nvidia.com/gpu: present; add the taint to "
        "`worker.tolerations` in the profile, if these nodes are meant; or wait until",
    ),
    "selector": (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
        "of 3 nodes 3 do not have the labels asked for; correct `worker.node_selector` in the "
        "profile (`kubectl -n default get nodes --show-labels`)",
    ),
    "unbound claim": (
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: x",
        "a PersistentVolumeClaim that it mounts has no volume yet; `kubectl -n default get pvc`",
    ),
    "no claim": (
        '0/3 nodes are available: persistentvolumeclaim "runs" not found. preemption: x',
        "the PersistentVolumeClaim runs does not exist; make it, or change `volumes`",
    ),
    "volume": (
        "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
        "2 do not reach the volume; choose nodes that reach it by `worker.node_selector`",
    ),
    "full nodes": ("0/2 nodes are available: 2 Too many pods.", "as many pods as they take"),
    "no nodes": ("no nodes available to schedule pods", "the cluster has no nodes"),
    "anything": ("a plugin says no", "2 worker pods wait for a node: a plugin says no"),
}


@pytest.mark.parametrize("cause", SCHEDULER)
def test_no_node(cause: str) -> None:
    message, told = SCHEDULER[cause]
    if cause != "GPUs" and cause != "anything":
        check(scene(ready_pod("head"), unscheduled(message)), told)
        return
    assert (
        why(scene(ready_pod("head"), unscheduled(message), unscheduled(message, number=1)))[
            : len(told)
        ]
        == told
    )


IMAGES = {
    "absent": (
        "ErrImagePull",
        'failed to pull and unpack image "docker.io/x:1": docker.io/x:1: not found',
        "trainwright:1 is not pulled: there is no such image or tag; push it",
    ),
    "absent or forbidden": (
        "ErrImagePull",
        "pull access denied for x, repository does not exist or may require 'docker login'",
        "no such repository, or the nodes may not pull from it; correct `image`, or name a Secret",
    ),
    "forbidden": (
        "ErrImagePull",
        "failed to authorize: unauthorized",
        "the nodes may not pull it; name a Secret of type kubernetes.io/dockerconfigjson",
    ),
    "no registry": (
        "ImagePullBackOff",
        "dial tcp: lookup reg.example on 10.0.0.1:53: no such host",
        "its registry is not reached from the nodes",
    ),
    "certificate": ("ErrImagePull", "x509: certificate signed by unknown", "is not trusted"),
    "platform": ("ErrImagePull", "no match for platform in manifest", "nodes' processors"),
    "name": ("InvalidImageName", "", "trainwright:1 is no name of an image; correct `image`"),
    "never": ("ErrImageNeverPull", "", "is never to be pulled; load it onto the nodes"),
}


@pytest.mark.parametrize("cause", IMAGES)
def test_no_image(cause: str) -> None:
    reason, message, told = IMAGES[cause]
    pods = [ready_pod("head"), held(reason, message), held(reason, message, number=1)]
    check(scene(*pods), "2 worker pods: ", told)


def test_why_an_image_is_not_pulled_is_looked_for_in_events() -> None:
    pod = held("ImagePullBackOff", 'Back-off pulling image "x"', "head")
    early = warning(pod, "Failed", "Failed to pull image: toomanyrequests: limit")
    check(scene(pod, events=[early, warning("other", "Failed", "not found")]), "no more pulls")


CONTAINERS = {
    "secret": (
        held("CreateContainerConfigError", 'secret "store" not found', "head"),
        "the head pod: the Secret store does not exist; `kubectl -n default create secret generic "
        "store",
    ),
    "key": (
        held("CreateContainerConfigError", "couldn't find key TOKEN in Secret default/store"),
        "the Secret store has no entry TOKEN; `kubectl -n default describe secret store`",
    ),
    "root": (
        held("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        "the image wants to run as root; build it from k8s/Dockerfile",
    ),
    "start": (
        held("RunContainerError", "exec: no such file"),
        "cannot be made: exec: no such file",
    ),
    "crashes": (
        container_in(
            {"waiting": {"reason": "CrashLoopBackOff"}},
            "head",
            last={"exitCode": 1, "reason": "Error"},
        ),
        "it ends again and again, with status 1; `kubectl -n "
        f"default logs {CLUSTER}-head-0 -c ray-head --previous` shows why",
    ),
}


@pytest.mark.parametrize("cause", CONTAINERS)
def test_a_container_does_not_begin(cause: str) -> None:
    pod, told = CONTAINERS[cause]
    check(scene(pod), told)


def test_a_volume_is_not_mounted() -> None:
    pod = held("ContainerCreating", role="submitter")
    told = 'MountVolume.SetUp failed for volume "parcel" : configmap "x" not found'
    check(
        scene(ready_pod("head"), pod, events=[warning(pod, "FailedMount", told)]),
        "the submitter pod: the ConfigMap x does not exist; was it deleted?",
    )
    told = 'MountVolume.SetUp failed for volume "runs" : exit status 32'
    check(
        scene(pod, events=[warning(pod, "FailedMount", told)]),
        "a volume is not mounted: MountVolume.SetUp failed for volume",
    )
    assert "volume" not in why(scene(ready_pod("head"), events=[warning("z", "FailedMount", told)]))


REFUSED = {
    "quota": (
        "exceeded quota: compute, requested: requests.cpu=4,requests.memory=16Gi, used: "
        "requests.cpu=6,requests.memory=1Gi, limited: requests.cpu=8,requests.memory=20Gi",
        "it exceeds the quota compute of the namespace (wants requests.cpu=4,requests.memory=16Gi, "
        "in use requests.cpu=6,requests.memory=1Gi of requests.cpu=8,requests.memory=20Gi); stop",
    ),
    "quota without limits": (
        "failed quota: q: must specify limits.cpu for: ray-head",
        "the quota q asks that pods state limits.cpu for: ray-head",
    ),
    "pod security": (
        'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod)',
        "admits no such pods (Pod Security restricted): runAsNonRoot != true (pod)",
    ),
    "limits": (
        "[maximum cpu usage per Container is 2, but limit is 4, maximum memory usage per "
        "Container is 4Gi, but limit is 16Gi]",
        "a LimitRange of the namespace is in the way: "
        "maximum cpu usage per Container is 2, but limit is 4, maximum memory",
    ),
    "account": (
        "error looking up service account default/trainwright: serviceaccount "
        '"trainwright" not found',
        "no service account trainwright in the namespace; `kubectl -n default apply -k k8s/base`",
    ),
    "priority": ("no PriorityClass with name high was found", "there is no PriorityClass high"),
    "webhook": (
        'admission webhook "policy.example" denied the request: no latest tag',
        "the admission webhook policy.example denies it: no latest tag",
    ),
    "anything": ("the moon is full", "its pods are not made: the moon is full"),
}


@pytest.mark.parametrize("cause", REFUSED)
def test_pods_are_refused(cause: str) -> None:
    message, told = REFUSED[cause]
    message = f'FailedCreateHeadPod\npods "x" is forbidden: {message}'
    if cause == "anything":
        message = REFUSED[cause][0]
    failure = condition("ReplicaFailure", True, "FailedCreateHeadPod", message)
    check(scene(cluster=ray_cluster(conditions=(failure,))), "its pods are not made: ", told)
    event = warning(CLUSTER, "FailedToCreateHeadPod", message)
    check(scene(events=[event]), "its pods are not made: ", told)


def test_the_submitter_is_refused() -> None:
    cluster = ray_cluster(workers=1, conditions=(condition("RayClusterProvisioned", True),))
    event = warning(
        JOB,
        "FailedCreate",
        'Error creating: pods "x" is forbidden: exceeded quota: q,'
        " requested: pods=1, used: pods=9, limited: pods=9",
    )
    found = scene(ready_pod("head"), ready_pod(), cluster=cluster, events=[event])
    check(found, "its submitter pod is not made: it exceeds the quota q", "in use pods=9 of pods=9")


def test_there_is_no_cluster() -> None:
    shared = ray_job(BEGINS, spec={"clusterSelector": {"ray.io/cluster": "shared"}})
    check(scene(job=shared, cluster=None), "there is no RayCluster shared", "correct `cluster`")
    unseen = scene(job=shared, cluster=None, unseen=("rayclusters",))
    assert why(unseen) == ""
    message = (
        'rayclusters.ray.io is forbidden: User "system:serviceaccount:kuberay:op" cannot create '
        'resource "rayclusters" in API group "ray.io"'
    )
    event = warning(JOB, "FailedToCreateRayCluster", message)
    check(scene(cluster=None, events=[event]), "kuberay:op may not create rayclusters")


def test_the_operator_is_silent() -> None:
    check(
        scene(job=ray_job(), cluster=None), "has not looked at it for 60 s", "kubectl get pods -A"
    )
    young = ray_job(creationTimestamp="2026-01-01T10:00:55Z")
    assert why(scene(job=young, cluster=None)) == ""


QUEUES = {
    "full": (
        workload(condition("QuotaReserved", False, "Pending", "insufficient unused quota")),
        "it waits in the queue team: insufficient unused quota; it begins when others end",
    ),
    "absent": (
        workload(
            condition("QuotaReserved", False, "Inadmissible", "LocalQueue team doesn't exist")
        ),
        "there is no queue team in the namespace; `kubectl -n default get localqueues`",
    ),
    "inactive": (
        workload(
            condition("QuotaReserved", False, "Inadmissible", "ClusterQueue main is inactive")
        ),
        "it waits in the queue team, which lets nothing in: ClusterQueue main",
    ),
    "preempted": (
        workload(
            condition("Evicted", True, "Preempted", "x"),
            condition("QuotaReserved", False, "Pending", "y"),
        ),
        "another job of higher priority",
    ),
    "checks": (
        workload(
            condition("QuotaReserved", True),
            admissionChecks=[{"name": "nodes", "state": "Pending", "message": "none yet"}],
        ),
        "its checks are not done (nodes: none yet)",
    ),
    "unknown": (None, "but Kueue does not know of it; is Kueue installed"),
}


@pytest.mark.parametrize("cause", QUEUES)
def test_in_a_queue(cause: str) -> None:
    record, told = QUEUES[cause]
    job = ray_job(labels={"kueue.x-k8s.io/queue-name": "team"}, spec={"suspend": True})
    check(scene(job=job, cluster=None, workload=record), told)
    unseen = scene(job=job, cluster=None, unseen=("workloads",))
    check(unseen, "it waits in the queue team; you may not read Kueue's workloads")


def test_how_the_last_attempt_died() -> None:
    for pod, told in (
        (
            container_in({"terminated": OOM}),
            "1 worker pod: it took more memory than its 16Gi, and "
            "was killed; raise `worker.memory`",
        ),
        (
            ray_pod(phase="Failed", reason="Evicted", message="low on ephemeral-storage"),
            "its node put it out: low on ephemeral-storage; raise `scratch`",
        ),
        (
            ray_pod(conditions=[condition("DisruptionTarget", True, "PreemptionByScheduler")]),
            "a pod of higher priority took its place; nothing need be done",
        ),
    ):
        check(scene(pod, job=ray_job(FAILED)), told)
    again = container_in({"running": {}}, last=OOM)
    check(scene(ready_pod("head"), again, job=ray_job(RUNS)), "1 worker pod: it took more memory")


def test_what_stands_in_the_way_first_is_told_first() -> None:
    image = held("InvalidImageName", role="head")
    gpu = unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    check(scene(image, gpu), "1 worker pod waits for a node")
    failure = condition("ReplicaFailure", True, "x", "exceeded quota: q, requested: a=1")
    refused = ray_cluster(conditions=(failure,))
    check(scene(image, gpu, cluster=refused), "exceeds the quota q")


def test_nothing_is_wrong() -> None:
    found = scene(ready_pod("head"), ready_pod(), ray_pod(number=1))
    assert why(found) == "its pods begin: head 1 of 1, workers 1 of 2"
    assert pods_line(found) == "head 1 of 1, workers 1 of 2"
    assert why(scene(ready_pod("head"), job=ray_job(RUNS))) == ""
    for over in ("Complete", "Suspended"):
        job = ray_job({"jobDeploymentStatus": over, "jobStatus": "SUCCEEDED"})
        assert why(scene(container_in({"terminated": OOM}), job=job)) == ""
