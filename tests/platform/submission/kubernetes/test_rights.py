"""The role that is given to people who send jobs is enough for all they do, and no more."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube.server import KubeServer
from kube_targets import target_of
from ray_operator import Operator

from trainwright.submission.parcel import Parcel
from trainwright.submission.submitting import submit
from trainwright.submission.target import TargetError

ROLE = Path(__file__).resolve().parents[4] / "k8s/submitters.yaml"
BESIDE = ("configmaps", "networkpolicies")
RULES = [
    (verb, resource)
    for rule in yaml.safe_load(ROLE.read_text())["rules"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]


def owned(server: KubeServer) -> list[int]:
    """How many owners each object beside the RayJob has."""
    return [
        len(found["metadata"].get("ownerReferences", []))
        for resource in BESIDE
        for found in server.store.list(resource, "default")
    ]


def whole_life(server: KubeServer, parcel: Parcel) -> list[Any]:
    """A job is sent, let in by a queue, watched, stopped and deleted; what was seen of it."""
    target = target_of(queue="team")
    for manifest in target._manifests(parcel.base, parcel)[:2]:
        server.store.put(manifest)  # of a sender that was killed
    name = submit(target, parcel).submission.id
    seen: list[Any] = [owned(server)]
    uid = server.store.get("rayjobs", name)["metadata"]["uid"]
    record = {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {"name": "w", "labels": {"kueue.x-k8s.io/job-uid": uid}},
        "spec": {"active": True},
    }
    server.store.put(record)
    server.store.patch("rayjobs", name, {"spec": {"suspend": False}})
    operator = Operator(server, name)
    operator.begin(workers=0)
    head = server.store.get("pods", f"{name}-c0-head-0")
    server.kubelet.hold(head["metadata"]["name"])
    event = server.event(head, "FailedMount", 'secret "x" not found')
    seen += [target.find(name)]
    server.store.delete("events", event["metadata"]["name"])
    server.store.patch("rayjobs", name, {"spec": {"clusterSelector": {"ray.io/cluster": "none"}}})
    operator.tell("Initializing", rayClusterName="none")
    seen += [target.find(name)]
    server.store.patch("rayjobs", name, {"spec": {"clusterSelector": None}})
    operator.begin(workers=0)
    operator.submit()
    operator.run()
    operator.log("a")
    events = target.follow(name)
    seen += [next(event for event in events if isinstance(event, str))]
    events.close()  # type: ignore[attr-defined]

    def take_out() -> None:
        try:
            server.wait(lambda: not server.store.get("workloads", "w")["spec"]["active"], 10)
        except TimeoutError:
            return  # a right was missing, so that nobody asked for it
        server.store.patch("rayjobs", name, {"spec": {"suspend": True}})
        operator.suspend()

    threading.Thread(target=take_out, daemon=True).start()
    seen += [target.stop(name).state, *(one.state for one in target.all())]
    for resource in BESIDE:
        server.store.patch(resource, name, {"metadata": {"ownerReferences": None}})
    target.delete(name)
    return [*seen, owned(server)]


def only(server: KubeServer, rules: list[tuple[str, str]]) -> None:
    server.forbid("*", "*")
    for verb, resource in rules:
        server.permit(verb, resource)


def test_it_is_enough(server: KubeServer, parcel: Parcel) -> None:
    only(server, RULES)
    owners, mount, cluster, line, *states, left = whole_life(server, parcel)
    assert (owners, line, states, left) == ([1, 1], "a", ["stopped", "stopped"], [])
    assert "the Secret x does not exist" in mount.says
    assert "there is no RayCluster none" in cluster.says


def test_a_watch_is_needed_too(server: KubeServer, parcel: Parcel) -> None:
    only(server, [rule for rule in RULES if rule != ("watch", "rayjobs")])
    target = target_of()
    name = submit(target, parcel).submission.id
    with pytest.raises(TargetError, match=r"may not watch rayjobs\.ray\.io"):
        list(target.follow(name))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule[0] != "watch"], ids=" ".join)
def test_nothing_of_it_is_too_much(
    server: KubeServer, parcel: Parcel, rule: tuple[str, str]
) -> None:
    only(server, [other for other in RULES if other != rule])
    refused = ""
    try:
        owners, mount, cluster, _, *_, left = whole_life(server, parcel)
    except TargetError as error:
        refused = str(error)
    assert (
        (f"may not {rule[0]} {rule[1]}" in refused and "k8s/submitters.yaml" in refused)
        or owners != [1, 1]
        or left
        or "the Secret x does not exist" not in mount.says
        or "there is no RayCluster none" not in cluster.says
    )
