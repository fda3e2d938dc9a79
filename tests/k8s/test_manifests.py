"""What `kubectl apply -k` sends to a cluster: secure, consistent, right by its schemas."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from manifests import FOLDER, Manifest, containers, pods, rendered, schema_of, written

from trainwright.cli.main import app
from trainwright.job import Job

ROOT = FOLDER.parent
OVERLAYS = sorted(path.parent for path in FOLDER.glob("overlays/*/kustomization.yaml"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text()

RAY_JOB = {
    "entrypoint",
    "submissionMode",
    "backoffLimit",
    "preRunningDeadlineSeconds",
    "activeDeadlineSeconds",
    "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished",
    "submitterConfig",
    "submitterPodTemplate",
    "rayClusterSpec",
    "suspend",
}
RAY_CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP = {"rayStartParams", "template", "groupName", "replicas", "minReplicas", "maxReplicas"}
"""The fields of KubeRay's that are used: what is not here is a slip of the pen, which an API server
would drop without a word."""


@pytest.fixture(scope="module")
def kubectl() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")


@pytest.fixture(scope="module")
def sent(kubectl: None) -> dict[str, list[Manifest]]:
    return {overlay.name: rendered(overlay) for overlay in OVERLAYS}


def ray_job() -> Manifest:
    (job,) = [manifest for manifest in written("base") if manifest["kind"] == "RayJob"]
    return job


def every_pod() -> Iterator[tuple[str, Manifest]]:
    for manifest in [*written("base"), *written("services")]:
        for number, pod in enumerate(pods(manifest)):
            yield f"{manifest['kind']} {manifest['metadata']['name']} {number}", pod


PODS = dict(every_pod())


def test_there_is_something_to_check() -> None:
    assert [overlay.name for overlay in OVERLAYS] == ["gpu", "kueue", "local"]
    assert len(PODS) == 5


@pytest.mark.parametrize("name", PODS)
def test_every_pod_runs_with_as_few_rights_as_it_can(name: str) -> None:
    """What the pod security standard "restricted" asks for, and a read-only image on top."""
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("name", PODS)
def test_every_container_gets_what_it_asks_for(name: str) -> None:
    for container in containers(PODS[name]):
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert {"cpu", "memory"} <= resources["limits"].keys()


@pytest.mark.parametrize("name", PODS)
def test_volumes_that_are_mounted_are_there(name: str) -> None:
    volumes = {volume["name"] for volume in PODS[name]["volumes"]}
    for container in containers(PODS[name]):
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert all("sizeLimit" in v["emptyDir"] for v in PODS[name]["volumes"] if "emptyDir" in v)


def test_fields_of_kuberay() -> None:
    spec = ray_job()["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec.keys() <= RAY_JOB
    assert cluster.keys() <= RAY_CLUSTER
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group.keys() <= GROUP
        assert group["template"].keys() == {"metadata", "spec"}
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_who_reaches_the_cluster_needs_its_token() -> None:
    assert ray_job()["spec"]["rayClusterSpec"]["authOptions"]["mode"] == "token"
    (policy,) = [m for m in written("base") if m["kind"] == "NetworkPolicy"]
    wanted = policy["spec"]["podSelector"]["matchLabels"].items()
    spec = ray_job()["spec"]
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    templates = [spec["submitterPodTemplate"], *(group["template"] for group in groups)]
    assert all(wanted <= template["metadata"]["labels"].items() for template in templates)


def test_the_cluster_runs_the_ray_of_the_lock_file() -> None:
    version = ray_job()["spec"]["rayClusterSpec"]["rayVersion"]
    assert f"\nray=={version}\n" in CONSTRAINTS


def test_the_number_of_workers_is_fixed() -> None:
    for group in ray_job()["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]


def test_no_secret_is_written_down() -> None:
    for file in FOLDER.rglob("*.yaml"):
        for manifest in yaml.safe_load_all(file.read_text()):
            assert not isinstance(manifest, dict) or manifest.get("kind") != "Secret", file
    for _, pod in every_pod():
        for container in containers(pod):
            for variable in container.get("env", []):
                secret = re.search(r"KEY|PASSWORD|TOKEN|SECRET|USER", variable["name"])
                assert not secret or "secretKeyRef" in variable["valueFrom"]


def test_the_image_holds_what_the_manifests_start() -> None:
    """The user is the one of the manifests, the command one that the command line has."""
    dockerfile = (FOLDER / "Dockerfile").read_text()
    users = {pod["securityContext"]["runAsUser"] for _, pod in every_pod()}
    assert {int(user) for user in re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)} == users
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
    program, command, file, *options = ray_job()["spec"]["entrypoint"].split()
    assert program == "trainwright"
    assert command in {found.name or found.callback.__name__ for found in app.registered_commands}
    assert file == "/job/job.yaml"
    assert options == ["-s", "cluster.address=auto"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_jobs_are_read_and_fit_their_cluster(
    overlay: Path, monkeypatch: pytest.MonkeyPatch, kubectl: None, sent: dict[str, list[Manifest]]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    (text,) = [
        manifest["data"]["job.yaml"]
        for manifest in sent[overlay.name]
        if manifest["kind"] == "ConfigMap" and "job.yaml" in manifest["data"]
    ]
    file = overlay / "job.yaml"
    if file.exists():
        assert text == file.read_text()
    wanted = Job.load(file if file.exists() else FOLDER / "overlays/local/job.yaml").spec.cluster
    (group,) = spec_of(sent[overlay.name])["rayClusterSpec"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    room = group["replicas"] * int(float(limits["cpu"]) // wanted.cpus_per_worker)
    assert wanted.workers <= room
    assert int(limits.get("nvidia.com/gpu", 0)) >= wanted.gpus_per_worker
    assert wanted.address == "auto"


def spec_of(manifests: list[Manifest]) -> Any:
    (job,) = [manifest for manifest in manifests if manifest["kind"] == "RayJob"]
    return job["spec"]


@pytest.mark.parametrize("overlay", [path.name for path in OVERLAYS])
def test_what_a_rendered_manifest_names_is_there(
    overlay: str, sent: dict[str, list[Manifest]]
) -> None:
    """By content: another job file is another ConfigMap."""
    there = {(m["kind"], m["metadata"]["name"]) for m in sent[overlay]}
    text = json.dumps(spec_of(sent[overlay]))
    maps = set(re.findall(r'"(?:configMap|configMapRef)": \{"name": "([^"]+)"', text))
    assert {("ConfigMap", name) for name in maps} <= there
    assert all(re.fullmatch(r"trainwright-(job|places)-[a-z0-9]{10}", name) for name in maps)
    assert len(maps) == 2
    assert set(re.findall(r'"secretRef": \{"name": "([^"]+)"', text)) == {"trainwright-store"}
    images = {
        c["image"] for manifest in sent[overlay] for p in pods(manifest) for c in containers(p)
    }
    assert all(re.search(r":[\w.-]+$", image) for image in images), "an image without a tag"
    assert {m["metadata"].get("namespace") for m in sent[overlay]} == {"trainwright"}


@pytest.fixture(scope="module")
def kuberay(request: pytest.FixtureRequest) -> jsonschema.Draft7Validator:
    crds = request.config.getoption("--crds")
    if crds is None:
        pytest.skip("--crds names no folder of KubeRay's definitions")
    return jsonschema.Draft7Validator(schema_of(Path(crds), "RayJob"))


@pytest.mark.parametrize("overlay", [path.name for path in OVERLAYS])
def test_rendered_jobs_are_right_by_kuberays_definition(
    overlay: str, sent: dict[str, list[Manifest]], kuberay: jsonschema.Draft7Validator
) -> None:
    (job,) = [manifest for manifest in sent[overlay] if manifest["kind"] == "RayJob"]
    assert [error.message for error in kuberay.iter_errors(job)] == []


def test_a_misspelt_field_is_noticed(kuberay: jsonschema.Draft7Validator) -> None:
    job = ray_job()
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 3
    (error,) = kuberay.iter_errors(job)
    assert "'replica' was unexpected" in error.message


def test_kueue_starts_the_job(sent: dict[str, list[Manifest]]) -> None:
    (job,) = [manifest for manifest in sent["kueue"] if manifest["kind"] == "RayJob"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"
    assert job["spec"]["suspend"] is True
    assert job["spec"]["shutdownAfterJobFinishes"] is True, "KubeRay suspends no other"
