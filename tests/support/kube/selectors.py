"""Label and field selectors: which objects a list or a watch is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kube.errors import ApiError
from kube.resources import Resource

Matches = Callable[[Mapping[str, Any]], bool]

_SET = re.compile(r"^([\w./-]+)\s+(in|notin)\s*\(([^()]*)\)$")
_EQUAL = re.compile(r"^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$")
_THERE = re.compile(r"^(!?)\s*([\w./-]+)$")


def label_selector(text: str) -> Matches:
    """Whether an object's labels match: ``a=b,c!=d,e in (f,g),h notin (i),j,!k``.

    Raises:
        ApiError: 400, the text is no selector.
    """
    wanted = [
        _requirement(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()
    ]

    def matches(found: Mapping[str, Any]) -> bool:
        labels = found["metadata"].get("labels") or {}
        return all(test(labels) for test in wanted)

    return matches


def _requirement(text: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.match(text):
        key, operator, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.match(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _THERE.match(text):
        absent, key = match.groups()
        return lambda labels: (key in labels) != bool(absent)
    raise ApiError(400, f"unable to parse requirement: found '{text}', expected: identifier")


def field_selector(resource: Resource, text: str) -> Matches:
    """Whether an object's fields match: ``metadata.name=x,status.phase!=Running``.

    Raises:
        ApiError: 400, the text is no selector, or the resource has no such field to select by.
    """
    known = {"metadata.name", *(["metadata.namespace"] if resource.namespaced else [])}
    wanted = []
    for part in filter(None, text.split(",")):
        match = re.match(r"^([\w.]+)(==|!=|=)(.*)$", part)
        if match is None:
            raise ApiError(400, f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = match.groups()
        if field not in known | set(resource.fields):
            version = f"{resource.group}/{resource.versions[0]}".lstrip("/")
            named = version if resource.group else f"/{version}"
            raise ApiError(
                400,
                f'Unable to find "{named}, Resource={resource.plural}" that match label selector '
                f'"", field selector "{text}": field label not supported: {field}',
            )
        wanted.append((field, operator == "!=", value))

    def matches(found: Mapping[str, Any]) -> bool:
        return all((_value(found, field) == value) != other for field, other, value in wanted)

    return matches


def _value(found: Mapping[str, Any], path: str) -> str:
    """A field as a string; one that is missing is empty."""
    if path == "source":
        path = "source.component"
    value: Any = found
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def selector(resource: Resource, query: Mapping[str, str], namespace: str | None) -> Matches:
    """Whether an object is one that a request for a collection is about."""
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(resource, query.get("fieldSelector", ""))

    def matches(found: Mapping[str, Any]) -> bool:
        here = not namespace or found["metadata"].get("namespace") == namespace
        return here and labels(found) and fields(found)

    return matches
