"""Objects in memory, every change of them, and one lock with a condition for who waits."""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kube import garbage
from kube.clock import now
from kube.kinds import fill_in
from kube.patches import merge
from kube.resources import Key, Registry, Resource, definition, key_of

Json = dict[str, Any]

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


@dataclass(frozen=True)
class Change:
    """One change of one object.

    Attributes:
        revision: of the store after it.
        key: of the object.
        before: the object before it; None, it was created.
        after: the object after it; None, it was removed.
    """

    revision: int
    key: Key
    before: Json | None
    after: Json | None


class Store:
    """What etcd and the garbage collector are to an API server.

    Tests act on objects as controllers do by ``put``, ``patch`` and ``delete``, which no access
    rule, fault or validator concerns. Objects that go in and come out are copies. Whoever reads
    more than once holds ``changed``.

    Args:
        registry: which resources there are.

    Attributes:
        changed: held to read and write; notified after each change.
        revision: of the last change, what ``resourceVersion`` counts.
        oldest: watches from before this revision are refused.
    """

    def __init__(self, registry: Registry) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.registry = registry
        self.revision = 1000
        self.oldest = self.revision
        self.changes: list[Change] = []
        self._objects: dict[Key, Json] = {}
        first = [definition(resource) for resource in registry.all() if resource.custom]
        for name in ("default", "kube-system"):
            first.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for found in first:
            fill_in(found)
            self.put(found)

    def put(self, found: Mapping[str, Any]) -> Json:
        """Create or replace an object as it is; its namespace is ``default`` unless it has one."""
        with self.changed:
            resource = self.registry.of(found)
            after = copy.deepcopy(dict(found))
            after.setdefault("metadata", {})
            if resource.namespaced:
                after["metadata"].setdefault("namespace", "default")
            before = self._objects.get(key_of(resource, after))
            return self.write(resource, after, before)

    def get(self, resource: str, name: str, namespace: str = "default") -> Json:
        """An object by the plural of its resource.

        Raises:
            KeyError: there is none.
        """
        with self.changed:
            found = self.registry.named(resource)
            key = (found.qualified, namespace if found.namespaced else "", name)
            return copy.deepcopy(self._objects[key])

    def list(self, resource: str, namespace: str | None = None) -> list[Json]:
        """Objects of a resource, by name; those of all namespaces unless one is given."""
        with self.changed:
            qualified = self.registry.named(resource).qualified
            chosen = self.at(qualified, self.revision)
            return [
                copy.deepcopy(chosen[key]) for key in sorted(chosen) if namespace in (None, key[1])
            ]

    def patch(
        self, resource: str, name: str, changes: Mapping[str, Any], namespace: str = "default"
    ) -> Json:
        """Merge changes into an object, status and all; null removes.

        Raises:
            KeyError: there is none.
        """
        with self.changed:
            before = self.get(resource, name, namespace)
            return self.write(self.registry.named(resource), merge(before, changes), before)

    def delete(
        self,
        resource: str,
        name: str,
        namespace: str = "default",
        policy: garbage.Policy = "Background",
    ) -> None:
        """Delete an object, and what it owns, as far as finalizers let it.

        Raises:
            KeyError: there is none.
        """
        with self.changed:
            found = self.registry.named(resource)
            garbage.delete(self, found, self.get(resource, name, namespace), policy)

    def wait(self, happened: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """Wait until something is true of the store or the server; its value.

        Raises:
            TimeoutError: it has not become true.
        """
        with self.changed:
            if not self.changed.wait_for(happened, timeout_s):
                raise TimeoutError(f"not within {timeout_s} s")
            return happened()

    def compact(self) -> None:
        """Expire all earlier versions: watches from there and ``continue`` tokens are refused."""
        with self.changed:
            self.oldest = self.revision

    def uninstall(self, group: str) -> None:
        """Remove a group of custom resources, as when their operator was never installed."""
        with self.changed:
            for resource in self.registry.all():
                if resource.custom and resource.group == group:
                    self.delete("customresourcedefinitions", resource.qualified)

    def peek(self, key: Key) -> Json | None:
        """An object that must not be changed, or None."""
        return self._objects.get(key)

    def everything(self) -> list[tuple[Key, Json]]:
        """All objects, which must not be changed."""
        return list(self._objects.items())

    def at(self, qualified: str, revision: int) -> dict[Key, Json]:
        """The objects of a resource at a revision that is still kept; they must not be changed."""
        found = {key: each for key, each in self._objects.items() if key[0] == qualified}
        for change in reversed(self.changes):
            if change.revision <= revision:
                break
            if change.key[0] == qualified:
                if change.before is None:
                    found.pop(change.key, None)
                else:
                    found[change.key] = change.before
        return found

    def write(self, resource: Resource, after: Json, before: Json | None) -> Json:
        """Store an object that is new, or takes the place of ``before``, unless it equals that.

        Its identity (uid, creation) is filled in, its version and generation go up, and what no
        longer has an owner is collected.
        """
        after = json.loads(json.dumps(after))  # A copy that is JSON for certain.
        after["apiVersion"] = resource.api_version()
        metadata = after["metadata"]
        old = before["metadata"] if before else {}
        metadata["uid"] = old.get("uid") or metadata.get("uid") or str(uuid.uuid4())
        created = old.get("creationTimestamp") or metadata.get("creationTimestamp") or now()
        metadata["creationTimestamp"] = created
        if resource.generation:
            again = before is not None and wanted(before) == wanted(after)
            metadata["generation"] = old.get("generation", 0) + (0 if again else 1)
        metadata["resourceVersion"] = old.get("resourceVersion")
        if after == before:
            return copy.deepcopy(after)
        if resource.qualified == DEFINITIONS:
            self.registry.define(after)
        key = key_of(resource, after)
        self._record(key, before, after)
        if metadata.get("ownerReferences") or "deletionTimestamp" in metadata:
            garbage.collect(self)
        return copy.deepcopy(self._objects.get(key, after))

    def erase(self, key: Key) -> None:
        """Remove an object for good."""
        before = self._objects[key]
        self._record(key, before, None)
        if key[0] == DEFINITIONS:
            self.registry.undefine(before)

    def _record(self, key: Key, before: Json | None, after: Json | None) -> None:
        self.revision += 1
        if after is None:
            del self._objects[key]
        else:
            after["metadata"]["resourceVersion"] = str(self.revision)
            self._objects[key] = after
        self.changes.append(Change(self.revision, key, before, after))
        self.changed.notify_all()


def wanted(found: Mapping[str, Any]) -> Json:
    """What of an object says how things should be: all but its metadata and its status."""
    return {key: part for key, part in found.items() if key not in ("metadata", "status")}
