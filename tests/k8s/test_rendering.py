"""What a job and a profile become: always something that Kubernetes and KubeRay take."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from kube_schemas import NEWEST, OLDEST, pod_of, wrong
from kuberay import misfits, refusals
from manifests import FOLDER, Manifest, containers
from profiles import parcels, profiles

from trainwright.errors import InputError
from trainwright.submission.kubernetes.rendering import render
from trainwright.submission.parcel import Need, Parcel
from trainwright.submission.profile import Profile
from trainwright.submission.profile.load import read_profile

FILES = {"job.yaml": b"name: x\n", "submission.json": b"{}\n", "losses/focal.py": b"X = 1\n"}
PARCEL = Parcel("x", FILES, Need(3, 1.0, 0.0), run="x-01234567")
NAME = "x-01234567"


def profile(**values: Any) -> Profile:
    return Profile.model_validate({"image": "i:1", **values}, strict=True)


def rendered(parcel: Parcel = PARCEL, **values: Any) -> dict[str, Manifest]:
    return {one["kind"]: one for one in render(NAME, parcel, profile(**values))}


def templates(job: Manifest) -> Iterator[Manifest]:
    spec = job["spec"]
    yield spec["submitterPodTemplate"]
    if cluster := spec.get("rayClusterSpec"):
        yield cluster["headGroupSpec"]["template"]
        yield from (group["template"] for group in cluster.get("workerGroupSpecs", []))


def tried(parcel: Parcel, profile: Profile) -> list[Manifest] | None:
    """None if the user is told what does not fit and how to mend it."""
    try:
        return render(parcel.base, parcel, profile)
    except InputError as error:
        problems = error.problems
    sizes = {"worker.cpu", "worker.gpu", "worker.replicas"}
    assert problems
    assert all(problem.path in sizes and problem.mend for problem in problems)
    return None


@settings(max_examples=60)
@given(parcels(), profiles())
def test_whatever_is_rendered_is_taken(parcel: Parcel, profile: Profile) -> None:
    """By the schemas of Kubernetes, by KubeRay, by Kueue; or the user is told what does not fit."""
    manifests = tried(parcel, profile)
    if manifests is None:
        return
    *beside, job = manifests
    for manifest in beside:
        assert wrong(manifest) == []
    assert list(misfits(job["spec"])) == []
    assert refusals(job) == []
    for template in templates(job):
        assert wrong(pod_of(template)) == []
    assert_room_for_all(parcel.need, profile, job["spec"])
    assert_means_nothing_to_a_shell(job["spec"])
    assert render(parcel.base, parcel, profile) == manifests


def assert_room_for_all(need: Need, profile: Profile, spec: Manifest) -> None:
    """As Ray counts it, and as the pods really have it."""
    if profile.cluster is not None or need.workers == 0:
        assert "workerGroupSpecs" not in spec.get("rayClusterSpec", {})
        return
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] >= 1
    one = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    cpus = min(float(group["rayStartParams"]["num-cpus"]), cpus_of(one["cpu"]))
    gpus = int(group["rayStartParams"]["num-gpus"])
    assert gpus == int(one.get(profile.worker.gpu_resource, 0))
    fit = math.floor(cpus / need.cpus + 1e-6)
    if need.gpus >= 1:
        fit = min(fit, math.floor(gpus / need.gpus))
    elif need.gpus > 0:
        fit = min(fit, gpus * math.floor(1 / need.gpus))
    assert fit * group["replicas"] >= (need.workers or 1)
    if profile.worker.replicas is None and need.workers is not None:
        assert fit * (group["replicas"] - 1) < need.workers, "a pod more than is needed"


def assert_means_nothing_to_a_shell(spec: Manifest) -> None:
    """KubeRay puts these into a command of bash's, the last one between double quotes."""
    assert spec["entrypoint"] == "python -m trainwright.submission.inside"
    assert re.fullmatch(r"[a-z0-9-]+", spec["jobId"])
    assert not re.search(r"[$`\\!]", spec["runtimeEnvYAML"])


def cpus_of(quantity: str) -> float:
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else int(quantity)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("profiles/*.yaml")))
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_shipped_profiles_render_for_old_and_new_clusters(name: str, version: str) -> None:
    found = read_profile(FOLDER / "profiles" / f"{name}.yaml")
    *beside, job = render(NAME, PARCEL, found)
    assert refusals(job) == []
    assert list(misfits(job["spec"])) == []
    for manifest in [*beside, *map(pod_of, templates(job))]:
        assert wrong(manifest, version) == []


def test_a_slip_of_the_pen_is_noticed() -> None:
    job = rendered()["RayJob"]
    pod = pod_of(next(templates(job)))
    pod["spec"]["containers"][0]["imagePolicy"] = "Always"
    assert len(wrong(pod)) == 1
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 3
    assert list(misfits(job["spec"])) == [
        "spec.rayClusterSpec.workerGroupSpecs[0].replica: no such field"
    ]


def test_pods_have_as_few_rights_as_they_can() -> None:
    """What the pod security standard "restricted" asks for, and a read-only image on top."""
    for template in templates(rendered(worker={"shared_memory": "1Gi"})["RayJob"]):
        pod = template["spec"]
        assert (
            pod["securityContext"].items()
            >= {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            }.items()
        )
        assert pod["automountServiceAccountToken"] is False
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert all(
            volume.keys() - {"name"} <= {"emptyDir", "configMap", "projected"}
            for volume in pod["volumes"]
        )
        assert all("sizeLimit" in v["emptyDir"] for v in pod["volumes"] if "emptyDir" in v)
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"] == container["resources"]["limits"]


def token_volumes(job: Manifest) -> list[list[str]]:
    return [
        [volume["name"] for volume in template["spec"]["volumes"] if "projected" in volume]
        for template in templates(job)
    ]


def test_the_head_alone_may_speak_to_kubernetes() -> None:
    assert token_volumes(rendered()["RayJob"]) == [[], ["token"], []]
    assert token_volumes(rendered(annotate=False)["RayJob"]) == [[], [], []]
    told = yaml.safe_load(rendered()["RayJob"]["spec"]["runtimeEnvYAML"])["env_vars"]
    assert told["TRAINWRIGHT_RAYJOB"] == f"trainwright/{NAME}"
    silent = yaml.safe_load(rendered(annotate=False)["RayJob"]["spec"]["runtimeEnvYAML"])
    assert "TRAINWRIGHT_RAYJOB" not in silent["env_vars"]


def test_a_running_cluster_gets_a_submitter_and_nothing_else() -> None:
    manifests = rendered(cluster="shared", retries=5)
    assert list(manifests) == ["ConfigMap", "RayJob"]
    spec = manifests["RayJob"]["spec"]
    assert spec["clusterSelector"] == {"ray.io/cluster": "shared"}
    assert not spec.keys() & {
        "rayClusterSpec",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "shutdownAfterJobFinishes",
        "suspend",
    }


def test_a_job_without_workers_trains_in_a_head_of_a_workers_shape() -> None:
    alone = Parcel("x", FILES, Need(0, 64.0, 1.0))
    worker = {
        "cpu": 3,
        "memory": "5Gi",
        "gpu": 1,
        "shared_memory": "2Gi",
        "node_selector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu"}],
    }
    spec = rendered(alone, worker=worker)["RayJob"]["spec"]["rayClusterSpec"]
    assert "workerGroupSpecs" not in spec
    head = spec["headGroupSpec"]
    assert head["rayStartParams"].items() >= {"num-cpus": "3", "num-gpus": "1"}.items()
    pod = head["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "3", "memory": "5Gi", "nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"gpu": "yes"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert {"name": "shared-mem", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(
    ("cpu", "quantity"),
    [(2, "2"), (0.5, "500m"), (1.1, "1100m"), (0.0001, "1m"), (1.0001, "1001m"), (0.29, "290m")],
)
def test_a_pod_gets_the_cpus_that_it_was_promised(cpu: float, quantity: str) -> None:
    spec = rendered(head={"cpu": cpu})["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]
    container = spec["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["cpu"] == quantity


def test_with_workers_the_head_trains_nothing() -> None:
    head = rendered()["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"


def test_a_queue_decides_when_a_job_starts_and_how_urgent_it_is() -> None:
    job = rendered(queue="training", priority="urgent")["RayJob"]
    labels = job["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "training"
    assert labels["kueue.x-k8s.io/priority-class"] == "urgent"
    assert job["spec"]["suspend"] is True
    assert not any("priorityClassName" in one["spec"] for one in templates(job))
    job = rendered(priority="urgent")["RayJob"]
    assert "suspend" not in job["spec"]
    assert {one["spec"]["priorityClassName"] for one in templates(job)} == {"urgent"}


def test_variables_arrive_as_they_were_written() -> None:
    """Kubernetes replaces ``$(NAME)``, and makes ``$`` of ``$$``."""
    values = {"A": "$(HOME) $$x $5", "B": "plain"}
    secret = {"S3CRET": {"secret": "s", "key": "k"}}
    spec = rendered(environment=values, secrets=["all"], secret_environment=secret)["RayJob"][
        "spec"
    ]
    for group in ("headGroupSpec", "workerGroupSpecs"):
        found = spec["rayClusterSpec"][group]
        one = found if isinstance(found, dict) else found[0]
        container = one["template"]["spec"]["containers"][0]
        env = {variable["name"]: variable for variable in container["env"]}
        assert env["A"]["value"] == "$$(HOME) $$$$x $$5"
        assert env["S3CRET"]["valueFrom"] == {"secretKeyRef": {"name": "s", "key": "k"}}
        assert container["envFrom"] == [{"secretRef": {"name": "all"}}]
    submitter = spec["submitterPodTemplate"]["spec"]["containers"][0]
    assert not submitter.keys() & {"env", "envFrom"}


def test_who_reaches_the_pods() -> None:
    manifests = rendered()
    spec = manifests["NetworkPolicy"]["spec"]
    wanted = spec["podSelector"]["matchLabels"].items()
    assert all(
        wanted <= one["metadata"]["labels"].items() for one in templates(manifests["RayJob"])
    )
    assert spec["policyTypes"] == ["Ingress"]
    own, operator = spec["ingress"]
    assert own == {"from": [{"podSelector": {"matchLabels": dict(wanted)}}]}
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert manifests["RayJob"]["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_objects_say_what_they_are() -> None:
    manifests = rendered()
    for manifest in manifests.values():
        assert manifest["metadata"]["labels"]["trainwright/submission"] == NAME
        assert manifest["metadata"]["namespace"] == "trainwright"
    annotations = manifests["RayJob"]["metadata"]["annotations"]
    assert annotations == {
        "trainwright/job": "x",
        "trainwright/kind": "train",
        "trainwright/digest": PARCEL.digest,
        "trainwright/run": "x-01234567",
    }
    assert json.loads(json.dumps(list(manifests.values()))) == list(manifests.values())
