"""What goes when something goes: dependents, contents of namespaces, objects without owners."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

from kube.clock import now
from kube.resources import Key, Resource, key_of

if TYPE_CHECKING:
    from kube.store import Store

Json = dict[str, Any]
Policy = Literal["Background", "Foreground", "Orphan"]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
FINALIZERS = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN], "Background": []}


def delete(
    store: Store, resource: Resource, found: Json, policy: Policy, grace_s: int | None = None
) -> None:
    """Delete an object, or mark it while finalizers, dependents or a grace period hold it.

    Args:
        store: whose lock is held.
        resource: of the object.
        found: the object, a copy.
        policy: what becomes of its dependents.
        grace_s: of a pod, seconds; its own setting unless given.
    """
    metadata = found["metadata"]
    if "deletionTimestamp" in metadata:
        return
    before = copy.deepcopy(found)
    finalizers = metadata.get("finalizers", []) + FINALIZERS[policy]
    if grace_s is None:
        grace_s = found.get("spec", {}).get("terminationGracePeriodSeconds", 30)
    # A kubelet stops what a node runs, so that others see such a pod end before it is gone.
    graceful = resource.kind == "Pod" and found.get("spec", {}).get("nodeName") and grace_s > 0
    if finalizers or graceful or resource.kind in ("Namespace", "CustomResourceDefinition"):
        metadata["deletionTimestamp"] = now()
        metadata["deletionGracePeriodSeconds"] = grace_s if graceful else 0
        if finalizers:
            metadata["finalizers"] = finalizers
        if resource.kind == "Namespace":
            found["status"] = {**found.get("status", {}), "phase": "Terminating"}
        store.write(resource, found, before)
    else:
        store.erase(key_of(resource, found))
        collect(store)


def collect(store: Store) -> None:
    """Remove what should be gone until nothing is left to do."""
    while any(_settle(store, key, found) for key, found in store.everything()):
        pass


def _settle(store: Store, key: Key, found: Json) -> bool:
    """One step for one object; whether there was one to take."""
    if store.peek(key) is not found:
        return False  # An earlier step of this round has changed it.
    metadata = found["metadata"]
    resource = store.registry.named(key[0])
    if "deletionTimestamp" not in metadata:
        owners = metadata.get("ownerReferences", [])
        if owners and not any(_lives(store, key[1], owner) for owner in owners):
            delete(store, resource, copy.deepcopy(found), "Background")
            return True
        return False
    inside = _contents(store, key, found)
    if inside:
        return _delete_all(store, inside)
    finalizers = metadata.get("finalizers", [])
    if ORPHAN in finalizers:
        for other, dependent in _dependents(store, found):
            _disown(store, other, dependent, metadata["uid"])
        return _unhold(store, resource, found, ORPHAN)
    if FOREGROUND in finalizers:
        dependents = _dependents(store, found)
        if _delete_all(store, dependents):
            return True
        return not _blocking(dependents, metadata["uid"]) and _unhold(
            store, resource, found, FOREGROUND
        )
    if not finalizers:
        store.erase(key)
        return True
    return False


def _lives(store: Store, namespace: str, owner: Json) -> bool:
    """Whether an owner is there: in the same namespace, or one of the cluster."""
    return any(
        other["metadata"]["uid"] == owner["uid"] and place[1] in ("", namespace)
        for place, other in store.everything()
    )


def _dependents(store: Store, owner: Json) -> list[tuple[Key, Json]]:
    uid = owner["metadata"]["uid"]
    return [
        (key, found)
        for key, found in store.everything()
        if any(ref["uid"] == uid for ref in found["metadata"].get("ownerReferences", []))
    ]


def _blocking(dependents: list[tuple[Key, Json]], uid: str) -> bool:
    return any(
        ref["uid"] == uid and ref.get("blockOwnerDeletion")
        for _, found in dependents
        for ref in found["metadata"]["ownerReferences"]
    )


def _contents(store: Store, key: Key, found: Json) -> list[tuple[Key, Json]]:
    """What an object holds without owning it: a namespace, or the definition of a resource."""
    if key[0] == "namespaces":
        return [each for each in store.everything() if each[0][1] == key[2]]
    if found["kind"] == "CustomResourceDefinition":
        return [each for each in store.everything() if each[0][0] == key[2]]
    return []


def _delete_all(store: Store, chosen: list[tuple[Key, Json]]) -> bool:
    """Delete objects; whether any was not already on its way."""
    fresh = [each for each in chosen if "deletionTimestamp" not in each[1]["metadata"]]
    for key, found in fresh:
        if store.peek(key) is found:
            resource = store.registry.named(key[0])
            delete(store, resource, copy.deepcopy(found), "Background", grace_s=0)
    return bool(fresh)


def _disown(store: Store, key: Key, dependent: Json, uid: str) -> None:
    after = copy.deepcopy(dependent)
    references = [ref for ref in after["metadata"]["ownerReferences"] if ref["uid"] != uid]
    after["metadata"]["ownerReferences"] = references
    store.write(store.registry.named(key[0]), after, dependent)


def _unhold(store: Store, resource: Resource, found: Json, finalizer: str) -> bool:
    after = copy.deepcopy(found)
    after["metadata"]["finalizers"].remove(finalizer)
    store.write(resource, after, found)
    return True
