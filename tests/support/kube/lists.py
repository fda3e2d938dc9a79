"""Lists: selected, in order, in pieces."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from kube import errors
from kube.errors import ApiError
from kube.requests import Request
from kube.resources import Resource
from kube.selectors import selector
from kube.store import Json, Store

INCONSISTENT = -1
"""Revision in a continue token that goes on from what is there now."""


def version_of(text: str) -> int | None:
    """A ``resourceVersion`` parameter; None where it is absent.

    Raises:
        ApiError: 400, it is no number.
    """
    if not text:
        return None
    if not text.isdecimal():
        raise ApiError(
            400,
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
            "invalid syntax",
        )
    return int(text)


def listed(store: Store, resource: Resource, request: Request) -> Json:
    """The answer to a list request.

    Args:
        store: whose lock is held.
        resource: listed.
        request: its query has selectors, ``limit``, ``continue``, ``resourceVersion``.

    Raises:
        ApiError: 400 for a query that is wrong, 410 for a token that has expired, 504 for a
            version that is yet to come.
    """
    query = request.query
    matches = selector(resource, query, request.namespace)
    revision, start = _place(store, query)
    chosen = store.at(resource.qualified, revision)
    found = [(key, each) for key, each in sorted(chosen.items()) if matches(each)]
    left = [(key, each) for key, each in found if list(key[1:]) >= start]
    limit = int(query.get("limit") or 0) or len(left)
    metadata: Json = {"resourceVersion": str(revision)}
    if len(left) > limit:
        metadata["continue"] = _token(revision, list(left[limit][0][1:]))
        # The API server does not count what selectors would have to be run on.
        if not (query.get("labelSelector") or query.get("fieldSelector")):
            metadata["remainingItemCount"] = len(left) - limit
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version(request.version),
        "metadata": metadata,
        "items": [_item(resource, request, each) for _, each in left[:limit]],
    }


def _place(store: Store, query: Mapping[str, str]) -> tuple[int, list[str]]:
    """Revision to list at, and the first key to list."""
    version = version_of(query.get("resourceVersion", ""))
    if token := query.get("continue"):
        if version:
            raise ApiError(400, "specifying resource version is not allowed when using continue")
        revision, start = _read(token)
        if revision == INCONSISTENT:
            return store.revision, start
        if revision < store.oldest:
            raise _expired(start)
        return revision, start
    if version and version > store.revision:
        raise _too_large(version, store.revision)
    if version and query.get("resourceVersionMatch") == "Exact":
        if version < store.oldest:
            raise ApiError(410, f"The resourceVersion for the provided list is too old: {version}")
        return version, []
    return store.revision, []


def _too_large(version: int, newest: int) -> ApiError:
    cause = errors.cause("", "Too large resource version", "ResourceVersionTooLarge")
    details = {"causes": [cause], "retryAfterSeconds": 1}
    message = f"Too large resource version: {version}, current: {newest}"
    return ApiError(504, f"Timeout: {message}", details=details)


def _expired(start: list[str]) -> ApiError:
    return ApiError(
        410,
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list.",
        metadata={"continue": _token(INCONSISTENT, start)},
    )


def _token(revision: int, start: list[str]) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(token: str) -> tuple[int, list[str]]:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = json.loads(text)
        return found["rv"], found["start"]
    except (ValueError, KeyError, TypeError) as error:
        raise ApiError(400, f"continue key is not valid: {error}") from error


def _item(resource: Resource, request: Request, found: Mapping[str, Any]) -> Json:
    """An object as lists have it: those of built-in kinds do not repeat what they are."""
    if resource.custom:
        return {**found, "apiVersion": resource.api_version(request.version)}
    return {key: part for key, part in found.items() if key not in ("apiVersion", "kind")}
