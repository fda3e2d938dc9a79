"""Why a submission waits, before its pods are there: one line that says what to do."""

from __future__ import annotations

import pytest
from ray_objects import (
    BEGINS,
    CLUSTER,
    JOB,
    OOM,
    RUNS,
    check,
    condition,
    container_in,
    held,
    ray_cluster,
    ray_job,
    ray_pod,
    ready_pod,
    scene,
    unscheduled,
    warning,
    workload,
)

from trainwright.submission.kubernetes.explain.why import pods_line, why

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


def test_an_image_takes_its_time() -> None:
    pods = [held("ContainerCreating", number=number) for number in range(2)]
    events = [warning(pod, "Pulling", "Pulling image") for pod in pods]
    found = scene(ready_pod("head"), *pods, events=events)
    assert why(found) == "2 worker pods pull the image: head 1 of 1, workers 0 of 2"


def test_pods_of_the_last_attempt_are_not_told_of() -> None:
    job = ray_job({**BEGINS, "jobDeploymentStatus": "Retrying", "failed": 1})
    assert why(scene(ready_pod("head"), job=job)) == ""
    over = container_in({"terminated": {"exitCode": 0}}, "submitter", phase="Succeeded")
    assert pods_line(scene(ready_pod("head"), over)) == "head 1 of 1, workers 0 of 2"
