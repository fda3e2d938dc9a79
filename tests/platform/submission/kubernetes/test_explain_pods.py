"""Why pods wait, or ended: every cause in one line that says what to do."""

from __future__ import annotations

import pytest
from ray_objects import (
    CLUSTER,
    FAILED,
    OOM,
    RUNS,
    check,
    condition,
    container_in,
    held,
    ray_job,
    ray_pod,
    ready_pod,
    scene,
    unscheduled,
    warning,
)

from trainwright.submission.kubernetes.explain.why import why

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
