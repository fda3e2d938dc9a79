"""Submissions listed, found, stopped and deleted on an API server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from kube.faults import Close
from kube.samples import ray_job
from kube.server import KubeServer
from kube_targets import target_of
from ray_operator import FINALIZER, Operator

from trainwright.submission.kubernetes import api
from trainwright.submission.kubernetes.target import KubernetesTarget
from trainwright.submission.parcel import Need, Parcel
from trainwright.submission.target import TargetError

Json = dict[str, Any]


def send(target: KubernetesTarget, name: str) -> str:
    parcel = Parcel(name, {"job.yaml": f"name: {name}\n".encode()}, Need(1, 1, 0))
    return target.create(parcel.base, parcel).id


def meanwhile(server: KubeServer, happens: Callable[[], Any], does: Callable[[], Any]) -> None:
    """Do something, as an operator would, as soon as something else has happened."""

    def act() -> None:
        server.wait(happens)
        does()

    threading.Thread(target=act, daemon=True).start()


def spec_of(server: KubeServer, name: str) -> Json:
    return dict(server.store.get("rayjobs", name)["spec"])


def test_all_of_them_page_by_page(
    server: KubeServer, target: KubernetesTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert target.all() == []
    names = [send(target, f"job{number}") for number in range(5)]
    for number, name in enumerate(names):
        job = server.store.get("rayjobs", name)
        job["metadata"]["creationTimestamp"] = f"2026-01-01T10:00:0{number}Z"
        server.store.delete("rayjobs", name)
        server.store.put(job)
    server.store.put(ray_job("of-somebody-else"))
    server.store.put(ray_job("half-ours", labels={"app.kubernetes.io/managed-by": "trainwright"}))
    monkeypatch.setattr(api, "PAGE", 2)
    before = len(server.calls("list"))
    assert [one.id for one in target.all()] == names[::-1]
    assert len(server.calls("list")) - before == 3
    assert target.find("of-somebody-else") is None
    assert target.find("nobody") is None


def test_a_list_that_has_expired_begins_anew(
    server: KubeServer, target: KubernetesTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {send(target, f"job{number}") for number in range(5)}
    monkeypatch.setattr(api, "PAGE", 2)
    listed = target._api._json

    def forgetful(action: Any, **more: Any) -> Json:
        found = listed(action, **more)
        server.store.put(ray_job(f"x{len(server.requests)}"))
        server.store.compact()
        return found

    monkeypatch.setattr(target._api, "_json", forgetful)
    assert {one.id for one in target.all()} == names
    assert [call.query.get("limit") for call in server.calls("list")] == ["2", "2", None]


def test_one_is_found_with_why_it_waits(server: KubeServer, target: KubernetesTarget) -> None:
    name = send(target, "digits")
    assert target.find(name).says == "KubeRay has not looked at it yet"  # type: ignore[union-attr]
    operator = Operator(server, name)
    cluster = operator.begin()
    worker = f"{cluster}-worker-1"
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }
    server.store.patch("pods", worker, {"status": {"conditions": [condition]}})
    found = target.find(name)
    assert found is not None
    assert found.state == "waiting"
    assert found.says.startswith(
        "1 worker pod waits for a node (nothing in particular): of 1 nodes"
    )
    assert found.details == {
        "attempt": "1 of 4",
        "cluster": cluster,
        "pods": "head 0 of 1, workers 0 of 1",
    }
    # Without the right to see pods it is told what is known.
    server.forbid("list", "pods")
    server.forbid("list", "events")
    server.forbid("get", "rayclusters")
    assert target.find(name).says == "its pods begin"  # type: ignore[union-attr]


def test_events_are_looked_at(server: KubeServer, target: KubernetesTarget) -> None:
    name = send(target, "digits")
    operator = Operator(server, name)
    operator.begin(workers=0)
    pod = server.store.get("pods", f"{name}-c0-head-0")
    server.kubelet.hold(pod["metadata"]["name"], "ImagePullBackOff", "Back-off pulling image")
    server.event(pod, "Failed", "Failed to pull image: not found")
    found = target.find(name)
    assert found is not None
    assert "the head pod: the image x is not pulled: there is no such image or tag" in found.says


def test_stop_suspends_and_waits(server: KubeServer, target: KubernetesTarget) -> None:
    name = send(target, "digits")
    operator = Operator(server, name)
    operator.begin()
    operator.submit()
    operator.run()
    meanwhile(server, lambda: spec_of(server, name).get("suspend"), operator.suspend)
    stopped = target.stop(name)
    assert (stopped.state, stopped.ended is not None) == ("stopped", True)
    assert server.store.list("pods", "default") == []
    assert [one.state for one in target.all()] == ["stopped"]
    found = target.find(name)
    assert found is not None
    assert found.state == "stopped"


def test_stop_before_anything_began(server: KubeServer, target: KubernetesTarget) -> None:
    assert target.stop(send(target, "digits")).state == "stopped"


def test_stop_in_vain(server: KubeServer, target: KubernetesTarget) -> None:
    name = send(target, "digits")
    operator = Operator(server, name)
    operator.begin()
    operator.submit()
    operator.run()
    told = target.stop(name)
    assert told.state == "running"
    assert told.says == "it is told to stop, but its pods have not ended yet"


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_stop_in_a_queue(server: KubeServer, version: str) -> None:
    target = target_of(queue="team")
    name = send(target, "digits")
    job = server.store.get("rayjobs", name)
    assert job["spec"]["suspend"]
    assert target.all()[0].state == "waiting"
    record = {
        "apiVersion": f"kueue.x-k8s.io/{version}",
        "kind": "Workload",
        "metadata": {
            "name": "rayjob-x",
            "labels": {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]},
        },
        "spec": {"active": True},
    }
    server.store.put(record)
    # Kueue has let it in, and takes it out again.
    server.store.patch("rayjobs", name, {"spec": {"suspend": False}})
    operator = Operator(server, name)
    operator.begin()

    def take_out() -> None:
        server.store.patch("rayjobs", name, {"spec": {"suspend": True}})
        operator.suspend()

    meanwhile(
        server, lambda: not server.store.get("workloads", "rayjob-x")["spec"]["active"], take_out
    )
    assert target.stop(name).state == "stopped"
    assert [call.body for call in server.calls("patch", "workloads")] == [
        {"spec": {"active": False}}
    ]
    assert "spec" not in server.calls("patch", "rayjobs")[-1].body
    assert [one.state for one in target.all()] == ["stopped"]


def test_stop_on_the_cluster_of_others_deletes(server: KubeServer) -> None:
    target = target_of(cluster="shared")
    name = send(target, "digits")
    operator = Operator(server, name)
    operator.tell("Running", "RUNNING", rayClusterName="shared")
    stopped = target.stop(name)
    assert stopped.state == "stopped"
    assert "its RayJob had to be deleted" in stopped.says
    assert target.all() == []
    assert server.store.list("configmaps", "default") == []


def test_delete_waits_for_the_operator(server: KubeServer, target: KubernetesTarget) -> None:
    name = send(target, "digits")
    server.store.patch("rayjobs", name, {"metadata": {"finalizers": [FINALIZER]}})
    with pytest.raises(TargetError, match="KubeRay has not let go of it"):
        target.delete(name)
    assert [one.says for one in target.all()] == ["it is being deleted"]

    def let_go() -> None:
        server.store.patch("rayjobs", name, {"metadata": {"finalizers": None}})

    before = len(server.calls("delete", "rayjobs"))
    meanwhile(server, lambda: len(server.calls("delete", "rayjobs")) > before, let_go)
    target._sleep = lambda seconds: server.wait(lambda: not server.store.list("rayjobs"))
    target_two = KubernetesTarget(target._profile, sleep=target._sleep)
    target_two.delete(name)
    assert target.all() == []
    with pytest.raises(TargetError, match="there is no submission"):
        target.delete(name)


def test_delete_over_broken_connections(server: KubeServer, target: KubernetesTarget) -> None:
    name = send(target, "digits")
    server.fail(Close(), verb="delete")
    server.fail(500, verb="get", resource="rayjobs", times=2)
    target.delete(name)
    assert target.all() == []
