"""Create, update, patch and delete by the API's rules."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kube import errors, garbage
from kube.errors import ApiError, Cause, cause
from kube.kinds import decode, fill_in, kind_causes
from kube.names import metadata_causes
from kube.patches import check_kind, patched
from kube.requests import Request
from kube.resources import Resource, key_of
from kube.store import Json, Store

Validator = Callable[[Mapping[str, Any]], Iterable[Cause]]

LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names end with: no vowels, so no words."""

KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
"""Metadata that a client cannot change."""


class Objects:
    """What the API does to single objects.

    Args:
        store: where they are.

    Attributes:
        validators: plural -> says what is wrong with an object of that resource, for tests to fill.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.validators: dict[str, Validator] = {}

    def get(self, resource: Resource, request: Request) -> Json:
        """The object that a request names, a copy.

        Raises:
            ApiError: 404.
        """
        found = self._store.peek((resource.qualified, request.namespace, request.name))
        if found is None:
            raise errors.not_found(resource, request.name)
        return copy.deepcopy(found)

    def create(self, resource: Resource, request: Request) -> Json:
        """Create what a request holds.

        Raises:
            ApiError: 400, 403, 404, 409 or 422.
        """
        found = self._read(resource, request, request.body)
        metadata = found["metadata"]
        for field in (*KEPT, "resourceVersion", "selfLink"):
            metadata.pop(field, None)
        if resource.namespaced:
            metadata["namespace"] = request.namespace
            self._enter(resource, request.namespace, metadata.get("name", ""))
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._fresh_name(resource, found)
        if resource.status and resource.custom:
            found.pop("status", None)
        fill_in(found)
        self._validate(resource, found, None)
        if self._store.peek(key_of(resource, found)):
            raise errors.already_exists(resource, metadata["name"])
        return self._write(resource, request, found, None)

    def update(self, resource: Resource, request: Request) -> Json:
        """Replace an object, or its status, by what a request holds.

        Raises:
            ApiError: 400, 404, 409 or 422.
        """
        before = self.get(resource, request)
        after = self._read(resource, request, request.body)
        if resource.custom and not after["metadata"].get("resourceVersion"):
            message = "Invalid value: 0x0: must be specified for an update"
            causes = [cause("metadata.resourceVersion", message)]
            raise errors.invalid(resource.plural, resource.group, request.name, causes)
        return self._change(resource, request, before, after)

    def patch(self, resource: Resource, request: Request) -> Json:
        """Apply a patch to an object, or to its status.

        Raises:
            ApiError: 400, 404, 409, 415 or 422.
        """
        kind = request.headers.get("content-type", "").partition(";")[0]
        check_kind(resource, kind)
        before = self.get(resource, request)
        shown = {**before, "apiVersion": resource.api_version(request.version)}
        after = patched(kind, shown, request.body)
        return self._change(resource, request, before, self._read(resource, request, after))

    def delete(self, resource: Resource, request: Request) -> Json:
        """Delete an object as its options say.

        Returns:
            The object, if it goes on for a while or its resource answers so; else a Status.

        Raises:
            ApiError: 404 or 409.
        """
        found = self.get(resource, request)
        options = {**request.query, **(request.body or {})}
        for field, wanted in (options.get("preconditions") or {}).items():
            got = found["metadata"][field]
            if wanted != got:
                name = {"uid": "UID", "resourceVersion": "ResourceVersion"}[field]
                why = f"{name} in precondition: {wanted}, {name} in object meta: {got}"
                raise errors.conflict(resource, request.name, f"Precondition failed: {why}")
        policy = options.get("propagationPolicy") or "Background"
        if policy not in garbage.FINALIZERS:
            known = '"Foreground", "Background", "Orphan", "nil"'
            message = f'Unsupported value: "{policy}": supported values: {known}'
            causes = [cause("propagationPolicy", message, "FieldValueNotSupported")]
            raise errors.invalid("DeleteOptions", "meta.k8s.io", "", causes)
        grace = options.get("gracePeriodSeconds")
        if not dry(request):
            grace_s = int(grace) if grace is not None else None
            garbage.delete(self._store, resource, found, policy, grace_s)
        left = self._store.peek(key_of(resource, found))
        if left is not None and left["metadata"]["uid"] == found["metadata"]["uid"]:
            return copy.deepcopy(left)
        if resource.returned:
            return found
        uid = found["metadata"]["uid"]
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": errors.about(resource, request.name, uid=uid),
        }

    def _read(self, resource: Resource, request: Request, body: Any) -> Json:
        """A body as an object of the resource."""
        if not isinstance(body, dict):
            raise ApiError(
                400,
                f"the object provided is unrecognized (must be of type {resource.kind}): couldn't "
                "get version/kind; json parse error",
            )
        if resource.custom and "kind" not in body:
            raise ApiError(400, f"Object 'Kind' is missing in '{body}'")
        api_version = resource.api_version(request.version)
        found = {"kind": resource.kind, "apiVersion": api_version, **copy.deepcopy(body)}
        if found["kind"] != resource.kind:
            raise ApiError(
                400,
                f'{found["kind"]} in version "{request.version}" cannot be handled as a '
                f'{resource.kind}: no kind "{found["kind"]}" is registered',
            )
        if found["apiVersion"] != api_version:
            raise ApiError(
                400,
                f"the API version in the data ({found['apiVersion']}) does not match the expected "
                f"API version ({api_version})",
            )
        found["metadata"] = found.get("metadata") or {}
        if (found["metadata"].get("namespace") or request.namespace) != request.namespace:
            raise ApiError(
                400,
                "the namespace of the provided object does not match the namespace sent on the "
                "request",
            )
        name = found["metadata"].get("name", "")
        if request.name and name != request.name:
            raise ApiError(
                400,
                f"the name of the object ({name}) does not match the name on the URL "
                f"({request.name})",
            )
        found["apiVersion"] = resource.api_version()
        decode(found)
        return found

    def _enter(self, resource: Resource, namespace: str, name: str) -> None:
        """Nothing is created in a namespace that is not there, or on its way."""
        found = self._store.peek(("namespaces", "", namespace))
        if found is None:
            raise errors.not_found(self._store.registry.named("namespaces"), namespace)
        if "deletionTimestamp" in found["metadata"]:
            why = (
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated"
            )
            raise errors.forbidden(resource, name, why)

    def _fresh_name(self, resource: Resource, found: Json) -> str:
        base = found["metadata"]["generateName"][:58]
        while True:
            name = base + "".join(random.choices(LETTERS, k=5))
            if self._store.peek((resource.qualified, found["metadata"]["namespace"], name)) is None:
                return name

    def _change(self, resource: Resource, request: Request, before: Json, after: Json) -> Json:
        old, new = before["metadata"], after["metadata"]
        if (new.get("resourceVersion") or old["resourceVersion"]) != old["resourceVersion"]:
            raise errors.conflict(resource, request.name)
        if (new.get("uid") or old["uid"]) != old["uid"]:
            why = f"UID in precondition: {new['uid']}, UID in object meta: {old['uid']}"
            raise errors.conflict(resource, request.name, f"Precondition failed: {why}")
        if request.subresource == "status":
            status = {"status": after["status"]} if "status" in after else {}
            after = {**copy.deepcopy(before), **status}
        elif resource.status:
            after.pop("status", None)
            after.update({"status": before["status"]} if "status" in before else {})
        metadata = after["metadata"]
        for field in (*KEPT, "namespace", "resourceVersion"):
            metadata.pop(field, None)
            metadata.update({field: old[field]} if field in old else {})
        self._validate(resource, after, before)
        return self._write(resource, request, after, before)

    def _validate(self, resource: Resource, found: Json, before: Json | None) -> None:
        causes = [*metadata_causes(resource, found), *kind_causes(found, before)]
        if before is not None and "deletionTimestamp" in before["metadata"]:
            causes += _finalizer_causes(found, before)
        if validator := self.validators.get(resource.plural):
            causes += validator(copy.deepcopy(found))
        if causes:
            name = found["metadata"].get("name", "")
            raise errors.invalid(resource.kind, resource.group, name, causes)

    def _write(
        self, resource: Resource, request: Request, after: Json, before: Json | None
    ) -> Json:
        if dry(request):
            return after
        return self._store.write(resource, after, before)


def dry(request: Request) -> bool:
    """Whether a request asks what would happen, and nothing else."""
    return request.query.get("dryRun") == "All"


def _finalizer_causes(found: Json, before: Json) -> list[Cause]:
    known = before["metadata"].get("finalizers", [])
    new = [name for name in found["metadata"].get("finalizers", []) if name not in known]
    if not new:
        return []
    listed = ", ".join(f'"{name}"' for name in new)
    message = (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new "
        f"finalizers []string{{{listed}}}"
    )
    return [cause("metadata.finalizers", message, "FieldValueForbidden")]
