"""What `kubectl apply -k` sends to a cluster: secure, consistent, right by its schemas."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kube_schemas import pod_of, wrong
from kuberay import misfits, refusals
from manifests import FOLDER, Manifest, containers, pods, rendered, written

ROOT = FOLDER.parent
OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))
WHOLE = [*(f"overlays/{name}" for name in OVERLAYS), "base", "services"]


@pytest.fixture(scope="module")
def sent() -> dict[str, list[Manifest]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return {folder: rendered(FOLDER / folder) for folder in WHOLE}


def every_pod() -> Iterator[tuple[str, Manifest]]:
    """Of what is written by hand, and of the jobs in the overlays."""
    for folder in ("services", *(f"overlays/{name}" for name in OVERLAYS)):
        for manifest in written(folder):
            for number, pod in enumerate(pods(manifest)):
                yield f"{folder} {manifest['kind']} {manifest['metadata']['name']} {number}", pod


PODS = dict(every_pod())


def test_there_is_something_to_check() -> None:
    assert OVERLAYS == ["gpu", "kueue", "local"]
    assert len(PODS) == 11


@pytest.mark.parametrize("name", PODS)
def test_every_pod_runs_with_as_few_rights_as_it_can(name: str) -> None:
    """What the pod security standard "restricted" asks for, and a read-only image on top."""
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
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


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def test_a_namespace_gets_what_jobs_need(sent: dict[str, list[Manifest]]) -> None:
    """The account that the profiles name, with the right to write progress and no other."""
    base = sent["base"]
    (account,) = of_kind(base, "ServiceAccount")
    (role,) = of_kind(base, "Role")
    (binding,) = of_kind(base, "RoleBinding")
    assert account["metadata"]["name"] == "trainwright"
    assert account["automountServiceAccountToken"] is False
    assert role["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["get", "patch"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "trainwright", "namespace": "trainwright"}
    ]


def test_nobody_reaches_the_pods_of_a_job_but_by_its_own_policy(
    sent: dict[str, list[Manifest]],
) -> None:
    (closed,) = of_kind(sent["base"], "NetworkPolicy")
    assert "ingress" not in closed["spec"]
    wanted = closed["spec"]["podSelector"]["matchLabels"].items()
    for overlay in OVERLAYS:
        (job,) = of_kind(written(f"overlays/{overlay}"), "RayJob")
        text = yaml.safe_dump(job)
        labels = [t["metadata"]["labels"] for t in templates(job)]
        assert all(wanted <= one.items() for one in labels)
        assert text.count("app.kubernetes.io/name: trainwright") == len(labels) + 1


def templates(job: Manifest) -> list[Manifest]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [job["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]


@pytest.mark.parametrize("folder", WHOLE)
def test_what_is_sent_is_taken(folder: str, sent: dict[str, list[Manifest]]) -> None:
    for manifest in sent[folder]:
        assert manifest["metadata"]["namespace"] == "trainwright", manifest["kind"]
        if manifest["kind"] == "RayJob":
            assert list(misfits(manifest["spec"])) == []
            assert refusals(manifest) == []
            assert [fault for one in templates(manifest) for fault in wrong(pod_of(one))] == []
        else:
            assert wrong(manifest) == [], manifest["kind"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_job_names_is_there(overlay: str, sent: dict[str, list[Manifest]]) -> None:
    """But for Secrets and for what Kubernetes puts into every namespace."""
    manifests = sent[f"overlays/{overlay}"]
    there = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    (job,) = of_kind(manifests, "RayJob")
    maps: set[str] = set()
    for template in templates(job):
        pod = template["spec"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in there
        maps |= {v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v}
    assert {("ConfigMap", name) for name in maps} <= there
    images = {c["image"] for m in manifests for p in pods(m) for c in containers(p)}
    assert all(re.search(r":[\w.-]+$", image) for image in images), "an image without a tag"


def test_the_local_overlay_is_complete(sent: dict[str, list[Manifest]]) -> None:
    """Every service that the job is told of is in it, and speaks on that port."""
    manifests = sent["overlays/local"]
    ports = {m["metadata"]["name"]: m["spec"]["ports"] for m in of_kind(manifests, "Service")}
    text = (FOLDER / "profiles" / "default.yaml").read_text()
    named = re.findall(r"http://(\w+):(\d+)", text)
    assert {name for name, _ in named} == {"store", "mlflow"}
    for name, port in named:
        assert [one["port"] for one in ports[name]] == [int(port)]
    deployed = {
        tuple(m["spec"]["template"]["metadata"]["labels"].items())
        for m in of_kind(manifests, "Deployment")
    }
    services = of_kind(manifests, "Service")
    assert {tuple(m["spec"]["selector"].items()) for m in services} == deployed


def test_no_secret_is_written_down() -> None:
    for file in FOLDER.rglob("*.yaml"):
        for manifest in yaml.safe_load_all(file.read_text()):
            assert not isinstance(manifest, dict) or manifest.get("kind") != "Secret", file
    for name, pod in PODS.items():
        for container in containers(pod):
            for variable in container.get("env", []):
                secret = re.search(r"KEY|PASSWORD|TOKEN|SECRET|USER", variable["name"])
                assert not secret or "secretKeyRef" in variable["valueFrom"], name


def test_the_image_holds_what_the_manifests_start() -> None:
    """The user is the one of the manifests; what is copied exists and gets to the builder."""
    dockerfile = (FOLDER / "Dockerfile").read_text()
    users = {pod["securityContext"]["runAsUser"] for pod in PODS.values()}
    assert {int(user) for user in re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)} == users
    let_through = set((FOLDER / "Dockerfile.dockerignore").read_text().split())
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in let_through
    (extras,) = re.findall(r'"\.\[(.+)\]"$', dockerfile, re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras.split(","))
    assert re.search(r'^CMD \["trainwright", "--help"\]$', dockerfile, re.MULTILINE)


def test_the_cluster_is_told_the_ray_of_the_image() -> None:
    from trainwright.submission.profile import Profile

    version = Profile(image="i:1").ray_version
    assert f"\nray=={version}\n" in (ROOT / "constraints.txt").read_text()


def test_kueue_starts_the_job(sent: dict[str, list[Manifest]]) -> None:
    (job,) = of_kind(sent["overlays/kueue"], "RayJob")
    queues = list(yaml.safe_load_all((FOLDER / "overlays/kueue/queues.yaml").read_text()))
    (queue,) = of_kind(queues, "LocalQueue")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == queue["metadata"]["name"]
    assert job["metadata"]["namespace"] == queue["metadata"]["namespace"]
    assert job["spec"]["suspend"] is True


def test_a_job_fits_into_the_queue_that_is_shown(sent: dict[str, list[Manifest]]) -> None:
    (job,) = of_kind(sent["overlays/kueue"], "RayJob")
    queues = list(yaml.safe_load_all((FOLDER / "overlays/kueue/queues.yaml").read_text()))
    (queue,) = of_kind(queues, "ClusterQueue")
    (group,) = queue["spec"]["resourceGroups"]
    quota = {one["name"]: one["nominalQuota"] for one in group["flavors"][0]["resources"]}
    wanted = {"cpu": 0.0, "memory": 0.0}
    for template, count in zip(templates(job), counts(job), strict=True):
        limits: Any = template["spec"]["containers"][0]["resources"]["limits"]
        wanted["cpu"] += count * amount(limits["cpu"])
        wanted["memory"] += count * amount(limits["memory"])
    assert all(2 * wanted[name] <= amount(quota[name]) for name in wanted)


def counts(job: Manifest) -> list[int]:
    groups = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return [1, 1, *(group["replicas"] for group in groups)]


def amount(quantity: str | int) -> float:
    """CPUs or GiB."""
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text.removesuffix("Gi"))
