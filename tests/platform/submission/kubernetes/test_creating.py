"""A submission is made once and whole, whatever goes wrong and whoever else sends it."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from kube.errors import cause
from kube.faults import Close
from kube.server import KubeServer
from kube_targets import target_of

from trainwright.submission.kubernetes.target import KubernetesTarget
from trainwright.submission.parcel import Parcel
from trainwright.submission.submitting import submit
from trainwright.submission.target import AlreadyThere, TargetError

MADE = ("configmaps", "networkpolicies", "rayjobs")


def made(server: KubeServer) -> dict[str, list[str]]:
    return {
        resource: [found["metadata"]["name"] for found in server.store.list(resource, "default")]
        for resource in MADE
    }


def whole(server: KubeServer, name: str) -> None:
    """One of each, and the RayJob owns the others."""
    assert made(server) == {resource: [name] for resource in MADE}
    uid = server.store.get("rayjobs", name)["metadata"]["uid"]
    for resource in MADE[:2]:
        (owner,) = server.store.get(resource, name)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("RayJob", uid)


def test_it_is_made(server: KubeServer, target: KubernetesTarget, parcel: Parcel) -> None:
    found = target.create(parcel.base, parcel)
    whole(server, parcel.base)
    assert (found.id, found.job, found.state, found.run) == (
        parcel.base,
        "digits",
        "waiting",
        "digits-9f",
    )
    order = [call.resource for call in server.requests if call.verb == "create"]
    assert order == list(MADE)
    server.store.delete("rayjobs", parcel.base)
    assert made(server) == {resource: [] for resource in MADE}


def test_the_same_again_joins(server: KubeServer, target: KubernetesTarget, parcel: Parcel) -> None:
    assert submit(target, parcel).is_new
    with pytest.raises(AlreadyThere):
        target.create(parcel.base, parcel)
    again = submit(target, parcel)
    assert (again.is_new, again.submission.id) == (False, parcel.base)
    whole(server, parcel.base)


def test_a_sender_that_was_killed_in_between(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each request in turn: nothing can be tidied up, and the next one goes on."""
    from trainwright.submission.kubernetes.api import Api

    class Killed(BaseException):
        pass

    once = Api._once
    for survives in range(1, 8):
        left = [survives]

        def die(self: Api, *call: Any, left: list[int] = left) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return once(self, *call)

        with monkeypatch.context() as patched:
            patched.setattr(Api, "_once", die)
            with contextlib.suppress(Killed):
                target.create(parcel.base, parcel)
        sent = submit(target, parcel)
        assert sent.submission.id == parcel.base
        assert made(server) == {resource: [parcel.base] for resource in MADE}
        target.delete(parcel.base)
        assert made(server) == {resource: [] for resource in MADE}


@pytest.mark.parametrize("resource", MADE)
def test_a_refusal_leaves_nothing_behind(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel, resource: str
) -> None:
    server.fail(
        422,
        verb="create",
        resource=resource,
        causes=[
            cause("spec.a", "Invalid value: 1: must be more"),
            cause("spec.b", "Required value", "FieldValueRequired"),
        ],
    )
    with pytest.raises(TargetError) as refused:
        target.create(parcel.base, parcel)
    line = refused.value.problems[0].message
    assert "is not valid: spec.a: Invalid value: 1: must be more; spec.b: Required value" in line
    assert made(server) == {resource: [] for resource in MADE}


def test_broken_connections_make_it_once(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel
) -> None:
    for resource in MADE:
        server.fail(Close(), verb="create", resource=resource)
        server.fail(503, verb="create", resource=resource)
    server.fail(429, verb="patch")
    assert submit(target, parcel).is_new
    whole(server, parcel.base)


def test_a_request_that_went_through_unheard(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the RayJob was made: it is known as one's own."""
    from trainwright.submission.kubernetes.api import Api
    from trainwright.submission.kubernetes.errors import unreachable

    once = Api._once

    def deaf(self: Api, action: Any, *call: Any) -> Any:
        answer = once(self, action, *call)
        first = len(server.calls("create", action.resource.plural)) == 1
        if action.verb == "create" and first:
            raise unreachable(ConnectionResetError("Connection aborted"), "http://x")
        return answer

    monkeypatch.setattr(Api, "_once", deaf)
    found = target.create(parcel.base, parcel)
    assert found.id == parcel.base
    whole(server, parcel.base)


def test_senders_of_the_same_job_race(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel
) -> None:
    sent: list[Any] = []
    barrier = threading.Barrier(6)

    def send() -> None:
        other = target_of()
        barrier.wait()
        sent.append(submit(other, parcel))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.submission.id for one in sent] == [parcel.base] * 6
    assert sum(one.is_new for one in sent) == 1
    whole(server, parcel.base)


@pytest.mark.parametrize("step", MADE)
def test_somebody_else_is_done_in_the_middle(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel, step: str
) -> None:
    other, original = target_of(), target._api.create

    def create(resource: Any, *call: Any) -> Any:
        if resource.plural == step and not made(server)["rayjobs"]:
            other.create(parcel.base, parcel)
        return original(resource, *call)

    target._api.create = create  # type: ignore[method-assign]
    with pytest.raises(AlreadyThere):
        target.create(parcel.base, parcel)
    whole(server, parcel.base)
    assert len({call.name for call in server.calls("delete")}) == 0


def test_a_refused_sender_leaves_another_ones_objects(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel
) -> None:
    server.fail(403, verb="create", resource="rayjobs", message="exceeded quota: q, requested: a")
    other = target_of()
    original = target._api.find

    def find(*call: Any) -> Any:
        if server.calls("create", "rayjobs") and not made(server)["rayjobs"]:
            other.create(parcel.base, parcel)  # just before the first one tidies up
        return original(*call)

    target._api.find = find  # type: ignore[method-assign]
    with pytest.raises(TargetError, match="exceeds the quota q"):
        target.create(parcel.base, parcel)
    whole(server, parcel.base)


def test_what_belongs_to_others_is_not_touched(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel
) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": parcel.base},
        "data": {"job.yaml": "name: other\n"},
    }
    server.store.put(foreign)
    with pytest.raises(TargetError) as refused:
        target.create(parcel.base, parcel)
    (problem,) = refused.value.problems
    assert "another ConfigMap" in problem.message
    assert f"delete configmaps {parcel.base}" in str(problem.mend)
    assert server.store.get("configmaps", parcel.base)["data"] == {"job.yaml": "name: other\n"}
    assert made(server)["rayjobs"] == []


def test_what_a_deleted_submission_left_is_made_anew(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel
) -> None:
    target.create(parcel.base, parcel)
    old = server.store.get("configmaps", parcel.base)["metadata"]
    # Its RayJob is gone, and the garbage collector is late.
    server.store.patch("configmaps", parcel.base, {"metadata": {"finalizers": ["a/b"]}})
    server.store.delete("rayjobs", parcel.base)
    with pytest.raises(TargetError, match="is being deleted, and is still there"):
        target.create(parcel.base, parcel)
    server.store.patch("configmaps", parcel.base, {"metadata": {"finalizers": None}})
    target.create(parcel.base, parcel)
    whole(server, parcel.base)
    assert server.store.get("configmaps", parcel.base)["metadata"]["uid"] != old["uid"]


def test_without_the_right_to_patch_it_is_made_all_the_same(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel
) -> None:
    server.forbid("patch", "*")
    target.create(parcel.base, parcel)
    assert made(server) == {resource: [parcel.base] for resource in MADE}
    target.delete(parcel.base)
    assert made(server) == {resource: [] for resource in MADE}


def test_no_secret_is_sent(
    server: KubeServer, target: KubernetesTarget, parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "a-secret-of-this-machine")
    target.create(parcel.base, parcel)
    sent = "".join(f"{call.path} {call.query} {call.body}" for call in server.requests)
    assert "a-secret-of-this-machine" not in sent
    assert "s3cret-token-of-a-test" not in sent
