"""Patches: JSON patch, JSON merge patch, and strategic merge patch for the kinds in use."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from kube.errors import ApiError
from kube.resources import Resource

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "secrets": "name",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists whose items a strategic merge patch merges by a key; ``finalizers`` is merged as a set, and
``ports`` goes by the first of two keys that its items have."""


def patched(kind: str, before: dict[str, Any], patch: Any) -> dict[str, Any]:
    """The object with the patch applied.

    Args:
        kind: content type of the request.
        before: the object, left as it is.
        patch: body of the request.

    Raises:
        ApiError: 400 or 422, the patch cannot be applied.
    """
    if kind == JSON_PATCH:
        return _json_patched(before, patch)
    if kind == MERGE_PATCH:
        return _merged(before, _mapping(patch))
    return _strategic(before, _mapping(patch))


def check_kind(resource: Resource, kind: str) -> None:
    """Refuse a content type that is no patch's; custom resources take no strategic merge patch.

    Raises:
        ApiError: 415.
    """
    known = [JSON_PATCH, MERGE_PATCH, *([] if resource.custom else [STRATEGIC_PATCH])]
    if kind not in known:
        raise ApiError(
            415,
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(known),
        )


def _mapping(patch: Any) -> Mapping[str, Any]:
    if not isinstance(patch, Mapping):
        raise ApiError(
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type "
            "map[string]interface {}",
        )
    return patch


def merge(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386: mappings merge, null removes, anything else replaces."""
    return _merged(before, patch)


def _merged(before: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    after = dict(before) if isinstance(before, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, Mapping):
            after[key] = _merged(after.get(key), value)
        else:
            after[key] = copy.deepcopy(value)
    return after


def _strategic(before: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Like a merge patch, but lists with a merge key merge item by item."""
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    after = dict(before) if isinstance(before, Mapping) else {}
    if "$retainKeys" in patch:
        after = {key: value for key, value in after.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            after[field] = [item for item in after.get(field, []) if item not in value]
        elif key.startswith("$"):
            continue  # Orders of elements decide nothing that is used here.
        elif value is None:
            after.pop(key, None)
        elif isinstance(value, Mapping):
            after[key] = _strategic(after.get(key), value)
        elif isinstance(value, list):
            after[key] = _strategic_list(key, after.get(key) or [], value)
        else:
            after[key] = value
    return after


def _strategic_list(field: str, before: list[Any], patch: list[Any]) -> list[Any]:
    if field == "finalizers":
        return before + [item for item in patch if item not in before]
    key = MERGE_KEYS.get(field)
    if field == "ports":
        key = "containerPort" if any("containerPort" in item for item in patch) else "port"
    if key is None or any(isinstance(i, dict) and i.get("$patch") == "replace" for i in patch):
        return [copy.deepcopy(i) for i in patch if not (isinstance(i, dict) and "$patch" in i)]
    after = list(before)
    for item in patch:
        place = next((n for n, old in enumerate(after) if old.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            after = [old for old in after if old.get(key) != item.get(key)]
        elif place is None:
            after.append(_strategic({}, item))
        else:
            after[place] = _strategic(after[place], item)
    return after


def _json_patched(before: dict[str, Any], patch: Any) -> dict[str, Any]:
    """RFC 6902."""
    if not isinstance(patch, list):
        raise ApiError(
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type "
            "jsonpatch.Patch",
        )
    after = copy.deepcopy(before)
    for step in patch:
        try:
            _OPERATIONS[step["op"]](after, step)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            # The API server calls a patch that does not fit the object unprocessable.
            raise ApiError(
                422,
                f"the server rejected our request due to an error in our request: "
                f"{json.dumps(step)}: {error}",
            ) from error
    return after


def _parent(document: Any, path: str) -> tuple[Any, str]:
    if not path.startswith("/"):
        raise ValueError(f"missing value: {path}")
    *parts, last = (part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    for part in parts:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document, last


def _read(document: Any, path: str) -> Any:
    parent, last = _parent(document, path)
    return parent[int(last)] if isinstance(parent, list) else parent[last]


def _add(document: Any, path: str, value: Any) -> None:
    parent, last = _parent(document, path)
    if not isinstance(parent, list):
        parent[last] = value
    elif last == "-":
        parent.append(value)
    elif int(last) > len(parent):
        raise IndexError(f"index {last} is past the end")
    else:
        parent.insert(int(last), value)


def _remove(document: Any, path: str) -> None:
    parent, last = _parent(document, path)
    del parent[int(last) if isinstance(parent, list) else last]


def _replace(document: Any, path: str, value: Any) -> None:
    _read(document, path)
    parent, last = _parent(document, path)
    parent[int(last) if isinstance(parent, list) else last] = value


def _test(document: Any, path: str, value: Any) -> None:
    if _read(document, path) != value:
        raise ValueError(f"testing value {path} failed")


def _move(document: Any, source: str, path: str) -> None:
    value = _read(document, source)
    _remove(document, source)
    _add(document, path, value)


_OPERATIONS: dict[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "add": lambda document, step: _add(document, step["path"], step["value"]),
    "remove": lambda document, step: _remove(document, step["path"]),
    "replace": lambda document, step: _replace(document, step["path"], step["value"]),
    "test": lambda document, step: _test(document, step["path"], step["value"]),
    "move": lambda document, step: _move(document, step["from"], step["path"]),
    "copy": lambda document, step: _add(
        document, step["path"], copy.deepcopy(_read(document, step["from"]))
    ),
}
