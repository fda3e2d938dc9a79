"""Bodies in Kubernetes' protobuf, which kubectl sends for built-in kinds that it makes itself."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from kube.errors import ApiError

Json = dict[str, Any]
Fields = Mapping[int, tuple[str, Any]]
"""Number of a field -> its name in JSON, and its form: ``text texts flag map bytes map``, or the
fields of a message."""

META: Fields = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    5: ("uid", "text"),
    6: ("resourceVersion", "text"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    14: ("finalizers", "texts"),
}
RESOURCE: Fields = {
    number: (name, "text")
    for number, name in enumerate(
        ("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1
    )
}
ATTRIBUTES: Fields = {
    1: ("resourceAttributes", RESOURCE),
    2: ("nonResourceAttributes", {1: ("path", "text"), 2: ("verb", "text")}),
}
KINDS: Mapping[str, Fields] = {
    "ConfigMap": {
        1: ("metadata", META),
        2: ("data", "map"),
        3: ("binaryData", "bytes map"),
        4: ("immutable", "flag"),
    },
    "Namespace": {1: ("metadata", META)},
    "Secret": {
        1: ("metadata", META),
        2: ("data", "bytes map"),
        3: ("type", "text"),
        4: ("stringData", "map"),
        5: ("immutable", "flag"),
    },
    "SelfSubjectAccessReview": {1: ("metadata", META), 2: ("spec", ATTRIBUTES)},
    "SelfSubjectReview": {1: ("metadata", META)},
    "ServiceAccount": {1: ("metadata", META)},
}
"""The kinds that are understood; of others kubectl is to send a file, which is JSON."""

MAGIC = b"k8s\x00"


def decoded(raw: bytes) -> Json:
    """A body in protobuf as the object it is.

    Raises:
        ApiError: 415, it is of a kind that is not in ``KINDS``.
    """
    envelope = dict(_fields(raw.removeprefix(MAGIC)))
    what = {number: text.decode() for number, text in _fields(envelope[1])}
    if what[2] not in KINDS:
        raise ApiError(415, f"this server reads {what[2]} as JSON only: send a file")
    return {"apiVersion": what[1], "kind": what[2], **_message(envelope[2], KINDS[what[2]])}


def _message(raw: bytes, fields: Fields) -> Json:
    found: Json = {}
    for number, value in _fields(raw):
        if number not in fields:
            continue
        name, form = fields[number]
        if isinstance(form, Mapping):
            found[name] = _message(value, form)
        elif form in ("map", "bytes map"):
            entry = dict(_fields(value))
            coded = entry.get(2, b"")
            text = coded if form == "map" else base64.b64encode(coded)
            found.setdefault(name, {})[entry[1].decode()] = text.decode()
        elif form == "texts":
            found.setdefault(name, []).append(value.decode())
        elif form == "flag":
            found[name] = bool(value)
        elif value:
            found[name] = value.decode()
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an integer, or bytes."""
    place = 0
    while place < len(raw):
        tag, place = _integer(raw, place)
        value, place = _integer(raw, place)
        if tag & 7 == 2:
            value, place = raw[place : place + value], place + value
        yield tag >> 3, value


def _integer(raw: bytes, place: int) -> tuple[int, int]:
    """A variable-length integer, and where the next thing begins."""
    value, shift = 0, 0
    while True:
        byte = raw[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
