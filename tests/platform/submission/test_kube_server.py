"""The API server of the tests, driven by the official client that knows nothing of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube.errors import cause
from kube.faults import Close, Cut, Hang
from kube.samples import config_map, pod, ray_job
from kube.server import KubeServer
from kubernetes import client, config
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

CONTRIBUTING = Path(__file__).resolve().parents[3] / "CONTRIBUTING.md"
RAY = ("ray.io", "v1", "default", "rayjobs")


@pytest.fixture
def server() -> Iterator[KubeServer]:
    with KubeServer() as running:
        yield running


@pytest.fixture
def api(server: KubeServer, tmp_path: Path) -> client.ApiClient:
    return config.new_client_from_config(str(server.kubeconfig(tmp_path)))


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def custom(api: client.ApiClient) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(api)


def refused(error: pytest.ExceptionInfo[ApiException]) -> tuple[int, str, str]:
    status = json.loads(error.value.body)
    assert (status["kind"], status["status"]) == ("Status", "Failure")
    assert status["code"] == error.value.status
    return status["code"], status["reason"], status["message"]


def test_a_custom_resource_lives(custom: client.CustomObjectsApi) -> None:
    made = custom.create_namespaced_custom_object(*RAY, {**ray_job("a"), "status": {"x": 1}})
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    assert {"uid", "creationTimestamp", "resourceVersion"} <= made["metadata"].keys()

    noted = custom.patch_namespaced_custom_object(*RAY, "a", {"metadata": {"labels": {"k": "v"}}})
    told = custom.patch_namespaced_custom_object_status(*RAY, "a", {"status": {"x": 2}})
    woken = custom.patch_namespaced_custom_object(
        *RAY, "a", {"spec": {"suspend": False}, "status": {"x": 3}}
    )
    assert [each["metadata"]["generation"] for each in (noted, told, woken)] == [1, 1, 2]
    assert woken["status"] == {"x": 2}
    assert woken["spec"] == {"entrypoint": "python", "suspend": False}
    versions = [int(each["metadata"]["resourceVersion"]) for each in (made, noted, told, woken)]
    assert versions == sorted(set(versions))
    same = custom.patch_namespaced_custom_object(*RAY, "a", {"spec": {"suspend": False}})
    assert same == woken

    gone = custom.delete_namespaced_custom_object(*RAY, "a")
    assert gone["status"] == "Success"
    assert gone["details"]["uid"] == made["metadata"]["uid"]
    assert custom.list_namespaced_custom_object(*RAY)["items"] == []


def test_names_are_generated(core: client.CoreV1Api) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="a-"))
    names = {core.create_namespaced_config_map("default", body).metadata.name for _ in range(3)}
    assert len(names) == 3
    assert all(len(name) == 7 and name.startswith("a-") for name in names)


def test_refusals_say_what_a_real_server_says(
    server: KubeServer, core: client.CoreV1Api, custom: client.CustomObjectsApi
) -> None:
    def create(body: dict[str, Any], namespace: str = "default") -> Any:
        return custom.create_namespaced_custom_object("ray.io", "v1", namespace, "rayjobs", body)

    made = create(ray_job("a"))
    server.store.patch("rayjobs", "a", {"status": {"jobStatus": "RUNNING"}})
    with pytest.raises(ApiException) as error:
        custom.get_namespaced_custom_object(*RAY, "b")
    assert refused(error) == (404, "NotFound", 'rayjobs.ray.io "b" not found')
    with pytest.raises(ApiException) as error:
        create(ray_job("a"))
    assert refused(error) == (409, "AlreadyExists", 'rayjobs.ray.io "a" already exists')
    with pytest.raises(ApiException) as error:
        custom.replace_namespaced_custom_object(*RAY, "a", made)
    assert refused(error)[:2] == (409, "Conflict")
    with pytest.raises(ApiException) as error:
        custom.replace_namespaced_custom_object(*RAY, "a", ray_job("a"))
    assert refused(error)[2].endswith(
        "resourceVersion: Invalid value: 0x0: must be specified for an update"
    )
    with pytest.raises(ApiException) as error:
        create(ray_job("a"), "nowhere")
    assert refused(error) == (404, "NotFound", 'namespaces "nowhere" not found')
    with pytest.raises(ApiException) as error:
        create(ray_job("A_b", labels={"x": "a b"}))
    code, reason, message = refused(error)
    assert (code, reason) == (422, "Invalid")
    assert message.startswith(
        'RayJob.ray.io "A_b" is invalid: [metadata.name: Invalid value: "A_b"'
    )
    causes = json.loads(error.value.body)["details"]["causes"]
    assert [each["field"] for each in causes] == ["metadata.name", "metadata.labels"]
    with pytest.raises(ApiException) as error:
        create(ray_job("b", labels={"x": 1}))
    assert refused(error)[:2] == (400, "BadRequest")
    with pytest.raises(ApiException) as error:
        core.create_namespaced_config_map("default", config_map("c", {"x": "y" * (2**20 + 1)}))
    assert "may not be more than 1048576 bytes" in refused(error)[2]


def test_a_body_may_be_too_long(server: KubeServer, core: client.CoreV1Api) -> None:
    with pytest.raises(ApiException) as error:
        core.create_namespaced_config_map("default", config_map("c", {"x": "y" * 2**22}))
    assert refused(error)[:2] == (413, "RequestEntityTooLarge")
    assert server.requests == []


def test_a_test_may_validate(server: KubeServer, custom: client.CustomObjectsApi) -> None:
    server.validators["rayjobs"] = lambda found: (
        [] if "entrypoint" in found["spec"] else [cause("spec.entrypoint", "Required value")]
    )
    with pytest.raises(ApiException) as error:
        custom.create_namespaced_custom_object(*RAY, {**ray_job("a"), "spec": {}})
    assert refused(error)[2] == 'RayJob.ray.io "a" is invalid: spec.entrypoint: Required value'
    custom.create_namespaced_custom_object(*RAY, ray_job("a"))


def test_kuberay_may_not_be_installed(
    server: KubeServer, api: client.ApiClient, custom: client.CustomObjectsApi
) -> None:
    server.uninstall("ray.io")
    with pytest.raises(ApiException) as error:
        custom.create_namespaced_custom_object(*RAY, ray_job("a"))
    assert (error.value.status, error.value.body) == (404, "404 page not found\n")
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert "batch" in groups
    assert "ray.io" not in groups
    definitions = client.ApiextensionsV1Api(api).list_custom_resource_definition().items
    assert {found.spec.group for found in definitions} == {"kueue.x-k8s.io"}


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"label_selector": "app=x"}, "ab"),
        ({"label_selector": "app==x,tier!=1"}, "b"),
        ({"label_selector": "app in (x, y)"}, "abc"),
        ({"label_selector": "app notin (x)"}, "cd"),
        ({"label_selector": "app,!tier"}, "bc"),
        ({"field_selector": "metadata.name=c"}, "c"),
        ({"field_selector": "status.phase!=Pending"}, "d"),
        ({"field_selector": "status.phase=Pending", "label_selector": "app=y"}, "c"),
    ],
)
def test_selectors(
    server: KubeServer, core: client.CoreV1Api, selector: dict[str, str], names: str
) -> None:
    labels = {"a": {"app": "x", "tier": "1"}, "b": {"app": "x"}, "c": {"app": "y"}, "d": {}}
    for name, given in labels.items():
        core.create_namespaced_pod("default", pod(name, labels=given))
    server.kubelet.run("d")
    found = core.list_namespaced_pod("default", **selector).items
    assert [each.metadata.name for each in found] == list(names)


@pytest.mark.parametrize("selector", [{"label_selector": "a b"}, {"field_selector": "spec.x=1"}])
def test_wrong_selectors_are_refused(core: client.CoreV1Api, selector: dict[str, str]) -> None:
    with pytest.raises(ApiException) as error:
        core.list_namespaced_pod("default", **selector)
    assert refused(error)[:2] == (400, "BadRequest")


def test_lists_come_in_pieces_of_one_moment(server: KubeServer, core: client.CoreV1Api) -> None:
    for number in range(7):
        server.store.put(pod(f"p{number}"))
    first = core.list_namespaced_pod("default", limit=3)
    assert first.metadata.remaining_item_count == 4
    server.store.delete("pods", "p4")
    second = core.list_namespaced_pod("default", limit=3, _continue=first.metadata._continue)
    assert [each.metadata.name for each in second.items] == ["p3", "p4", "p5"]
    assert second.metadata.resource_version == first.metadata.resource_version

    server.store.compact()
    with pytest.raises(ApiException) as error:
        core.list_namespaced_pod("default", limit=3, _continue=second.metadata._continue)
    assert refused(error)[:2] == (410, "Expired")
    token = json.loads(error.value.body)["metadata"]["continue"]
    rest = core.list_namespaced_pod("default", limit=3, _continue=token)
    assert [each.metadata.name for each in rest.items] == ["p6"]
    assert rest.metadata._continue is None


def test_errors_come_on_demand(server: KubeServer, core: client.CoreV1Api) -> None:
    for code in (401, 403, 404, 409, 410, 422, 500, 503):
        server.fail(code, verb="get", resource="pods", times=2, message="no")
        for _ in range(2):
            with pytest.raises(ApiException) as error:
                core.read_namespaced_pod("p", "default")
            assert refused(error)[::2] == (code, "no")
        with pytest.raises(ApiException) as error:
            core.read_namespaced_pod("p", "default")
        assert refused(error)[2] == 'pods "p" not found'


def test_a_busy_server_says_when_to_come_back(server: KubeServer, core: client.CoreV1Api) -> None:
    server.store.put(pod("p"))
    server.fail(429, verb="create", resource="pods", retry_after_s=7)
    with pytest.raises(ApiException) as error:
        core.create_namespaced_pod("default", pod("q"))
    assert refused(error)[1] == "TooManyRequests"
    assert error.value.headers["Retry-After"] == "7"
    server.fail(429, verb="get", resource="pods", retry_after_s=0)
    core.read_namespaced_pod("p", "default")  # urllib3 obeys the header by itself.
    assert len(server.calls("get", "pods")) == 2


def test_connections_break(server: KubeServer, core: client.CoreV1Api) -> None:
    server.store.put(pod("p"))
    for fault in (Close(), Cut(after_bytes=20), Hang(60)):
        server.fail(fault, verb="get", name="p", times=9)
        with pytest.raises((HTTPError, OSError)):
            core.read_namespaced_pod("p", "default", _request_timeout=0.1)
        server.heal()
        assert core.read_namespaced_pod("p", "default").metadata.name == "p"


def test_the_example_in_contributing_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(), re.S)
    (code,) = [block for block in blocks if "KubeServer" in block]
    found = {"KubeServer": KubeServer, "tmp_path": tmp_path, "pod": pod("name")}
    exec(compile(code, "CONTRIBUTING.md", "exec"), found)
    assert len(found["server"].store.list("events")) == 1
