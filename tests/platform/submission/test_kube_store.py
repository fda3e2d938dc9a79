"""Objects of the API server of the tests: versions, patches, and what goes when something goes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kube.access import Access
from kube.api import Api
from kube.errors import ApiError
from kube.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, merge, patched
from kube.requests import parse
from kube.resources import Registry
from kube.samples import config_map, owned_by, pod, ray_job
from kube.server import KubeServer
from kube.store import Store
from kube.streams import Stream

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def server() -> KubeServer:
    """One that does not listen: what is tested here are its objects."""
    return KubeServer()


def test_dependents_go_with_their_owner(server: KubeServer) -> None:
    owner = server.store.put(ray_job("a"))
    server.store.put(pod("p", **owned_by(owner)))
    server.store.put(config_map("c", **owned_by(owner)))
    server.store.put(pod("q"))
    server.store.delete("rayjobs", "a")
    assert [each["metadata"]["name"] for each in server.store.list("pods")] == ["q"]
    assert server.store.list("configmaps") == []
    server.store.put(pod("late", **owned_by(owner)))  # Its owner is no more.
    assert [each["metadata"]["name"] for each in server.store.list("pods")] == ["q"]


def test_finalizers_and_foreground_hold_an_object(server: KubeServer) -> None:
    owner = server.store.put(ray_job("a", finalizers=["ray.io/x"]))
    server.store.put(pod("p", finalizers=["y"], **owned_by(owner, blocks=True)))
    server.store.delete("rayjobs", "a", policy="Foreground")
    held = server.store.get("rayjobs", "a")["metadata"]
    assert held["finalizers"] == ["ray.io/x", "foregroundDeletion"]
    assert "deletionTimestamp" in held
    server.store.patch("pods", "p", {"metadata": {"finalizers": []}})
    assert server.store.list("pods") == []
    assert server.store.get("rayjobs", "a")["metadata"]["finalizers"] == ["ray.io/x"]
    server.store.patch("rayjobs", "a", {"metadata": {"finalizers": None}})
    assert server.store.list("rayjobs") == []


def test_orphans_stay(server: KubeServer) -> None:
    owner = server.store.put(ray_job("a"))
    server.store.put(pod("p", **owned_by(owner)))
    server.store.delete("rayjobs", "a", policy="Orphan")
    assert server.store.get("pods", "p")["metadata"]["ownerReferences"] == []
    assert server.store.list("rayjobs") == []


def test_a_namespace_takes_along_what_is_in_it(server: KubeServer) -> None:
    server.store.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    server.store.put(pod("p", namespace="n", finalizers=["x"]))
    server.store.put(config_map("c", namespace="n"))
    server.store.delete("namespaces", "n")
    assert server.store.get("namespaces", "n")["status"]["phase"] == "Terminating"
    assert server.store.list("configmaps") == []
    server.store.patch("pods", "p", {"metadata": {"finalizers": None}}, "n")
    assert "n" not in [each["metadata"]["name"] for each in server.store.list("namespaces")]


class Asked:
    """A store behind the API, without HTTP."""

    def __init__(self) -> None:
        self.store = Store(Registry())
        self._api = Api(self.store, Access("tester"), None)

    def __call__(self, method: str, target: str, body: Any = None, kind: str = "") -> Any:
        reply = self._api.answer(parse(method, target, {"content-type": kind}, body))
        if isinstance(reply.body, Stream):
            return [json.loads(piece) for piece in reply.body.pieces if piece]
        return reply.body


@pytest.fixture
def asked() -> Asked:
    return Asked()


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None])), max_size=12)


@given(STEPS, STEPS, st.sampled_from(["", "&labelSelector=app%3Dx", "&labelSelector=app!%3Dx"]))
@settings(max_examples=60)
def test_a_list_and_a_watch_from_there_tell_what_there_is(
    first: list[tuple[str, str | None]], then: list[tuple[str, str | None]], chosen: str
) -> None:
    """An oracle: events applied to the list before give the list after."""
    asked = Asked()
    apply(asked.store, first)
    before = asked("GET", f"{PODS}?limit=0{chosen}")
    apply(asked.store, then)
    known = {each["metadata"]["name"]: each["metadata"] for each in before["items"]}
    version = before["metadata"]["resourceVersion"]
    target = f"{PODS}?watch=1&timeoutSeconds=0.000001&resourceVersion={version}{chosen}"
    for event in asked("GET", target):
        metadata = event["object"]["metadata"]
        assert int(metadata["resourceVersion"]) > int(version)
        version = metadata["resourceVersion"]
        assert (event["type"] == "ADDED") == (metadata["name"] not in known)
        if event["type"] == "DELETED":
            del known[metadata["name"]]
        else:
            known[metadata["name"]] = metadata
    after = asked("GET", f"{PODS}?limit=0{chosen}")
    assert {each["metadata"]["name"]: each["metadata"] for each in after["items"]} == known


@given(STEPS, STEPS, st.integers(1, 3))
@settings(max_examples=40)
def test_pieces_of_a_list_are_the_list(
    first: list[tuple[str, str | None]], then: list[tuple[str, str | None]], limit: int
) -> None:
    """Whatever happens between the pieces."""
    asked = Asked()
    apply(asked.store, first)
    whole = asked("GET", PODS)["items"]
    piece = asked("GET", f"{PODS}?limit={limit}")
    found, steps = piece["items"], list(then)
    while token := piece["metadata"].get("continue"):
        assert len(found) + piece["metadata"]["remainingItemCount"] == len(whole)
        apply(asked.store, [steps.pop()] if steps else [])
        piece = asked("GET", f"{PODS}?limit={limit}&continue={token}")
        found = found + piece["items"]
    assert found == whole


def apply(store: Store, steps: list[tuple[str, str | None]]) -> None:
    """Pods with a label are put, those without one are deleted."""
    for name, label in steps:
        if label:
            store.put(pod(name, labels={"app": label}))
        elif any(each["metadata"]["name"] == name for each in store.list("pods")):
            store.delete("pods", name)


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(before: Any, patch: Any, after: Any) -> None:
    assert merge(before, patch) == after
    assert patched(MERGE_PATCH, before, patch) == after


def test_strategic_patches_merge_lists_by_their_keys() -> None:
    spec = {
        "containers": [
            {"name": "a", "image": "x", "args": ["1", "2"]},
            {"name": "b", "image": "y"},
        ],
        "finalizers": ["f"],
    }
    patch = {
        "containers": [
            {"name": "a", "args": ["3"]},
            {"name": "b", "$patch": "delete"},
            {"name": "c", "image": "z"},
        ],
        "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}],
        "finalizers": ["g"],
    }
    assert patched(STRATEGIC_PATCH, spec, patch) == {
        "containers": [
            {"name": "a", "image": "x", "args": ["3"]},
            {"name": "c", "image": "z"},
        ],
        "finalizers": ["f", "g"],
    }


def test_json_patches() -> None:
    found = {"a": [1, 2], "b/c": {"d": 1}}
    steps = [
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "add", "path": "/a/1", "value": 9},
        {"op": "add", "path": "/a/-", "value": 3},
        {"op": "remove", "path": "/a/0"},
        {"op": "replace", "path": "/b~1c/d", "value": 2},
        {"op": "copy", "from": "/b~1c/d", "path": "/e"},
        {"op": "move", "from": "/a", "path": "/f"},
    ]
    assert patched(JSON_PATCH, found, steps) == {"b/c": {"d": 2}, "e": 2, "f": [9, 2, 3]}
    assert found == {"a": [1, 2], "b/c": {"d": 1}}
    for step in (
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
    ):
        with pytest.raises(ApiError) as error:
            patched(JSON_PATCH, found, [step])
        assert error.value.code == 422


def test_custom_resources_take_no_strategic_patch(asked: Asked) -> None:
    asked.store.put(ray_job("a"))
    path = "/apis/ray.io/v1/namespaces/default/rayjobs/a"
    for kind in (STRATEGIC_PATCH, "application/apply-patch+yaml"):
        assert asked("PATCH", path, {"spec": {}}, kind)["reason"] == "UnsupportedMediaType"


def test_versions_of_a_group_are_the_same_objects(asked: Asked) -> None:
    queue = {"kind": "LocalQueue", "apiVersion": "kueue.x-k8s.io/v1beta1", "spec": {}}
    path = "/apis/kueue.x-k8s.io/{}/namespaces/default/localqueues"
    made = asked("POST", path.format("v1beta1"), {**queue, "metadata": {"name": "q"}})
    assert made["apiVersion"] == "kueue.x-k8s.io/v1beta1"
    newer = asked("GET", path.format("v1beta2") + "/q")
    assert newer == {**made, "apiVersion": "kueue.x-k8s.io/v1beta2"}
    assert asked("GET", path.format("v1beta1"))["items"] == [made]


def test_a_definition_installs_a_resource(asked: Asked) -> None:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    version = {"name": "v1", "served": True, "storage": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }
    path = "/apis/example.com/v1/namespaces/default/widgets"
    assert asked("GET", path) == "404 page not found\n"
    asked("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert asked("GET", path)["kind"] == "WidgetList"
    assert asked("GET", "/apis/example.com/v1")["resources"][0]["name"] == "widgets"


def test_what_is_only_tried_leaves_nothing(asked: Asked) -> None:
    made = asked("POST", f"{PODS}?dryRun=All", pod("p"))
    assert made["status"] == {"phase": "Pending"}
    assert asked.store.list("pods") == []
    asked("POST", PODS, pod("p"))
    asked("DELETE", f"{PODS}/p?dryRun=All")
    assert len(asked.store.list("pods")) == 1


def test_a_deletion_may_name_whom_it_means(asked: Asked) -> None:
    uid = asked("POST", PODS, pod("p"))["metadata"]["uid"]
    other = asked("DELETE", f"{PODS}/p", {"preconditions": {"uid": "other"}})
    assert (other["code"], other["reason"]) == (409, "Conflict")
    assert asked("DELETE", f"{PODS}/p", {"preconditions": {"uid": uid}})["kind"] == "Pod"
    assert asked.store.list("pods") == []


def test_what_is_immutable_stays(asked: Asked) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    asked("POST", path, {**config_map("c", {"k": "1"}), "immutable": True})
    answer = asked("PATCH", f"{path}/c", {"data": {"k": "2"}}, MERGE_PATCH)
    assert answer["details"]["causes"][0]["field"] == "data"
    labelled = asked("PATCH", f"{path}/c", {"metadata": {"labels": {"a": "b"}}}, MERGE_PATCH)
    assert labelled["data"] == {"k": "1"}
