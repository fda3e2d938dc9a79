"""Rules for metadata that the API server holds every object to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kube.errors import Cause, cause
from kube.resources import Resource

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
SERVICE = r"[a-z]([-a-z0-9]*[a-z0-9])?"
VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
MAX_ANNOTATIONS_BYTES = 256 * 1024


def _regex(text: str, example: str, pattern: str) -> str:
    return f"{text} (e.g. {example}, regex used for validation is '{pattern}')"


NAME_RULES = {
    "subdomain": (
        SUBDOMAIN,
        253,
        _regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and must start and end with an alphanumeric character",
            "'example.com'",
            SUBDOMAIN,
        ),
    ),
    "label": (
        LABEL,
        63,
        _regex(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
            "and must start and end with an alphanumeric character",
            "'my-name',  or '123-abc'",
            LABEL,
        ),
    ),
    "service": (
        SERVICE,
        63,
        _regex(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
            "with an alphabetic character, and end with an alphanumeric character",
            "'my-name',  or 'abc-123'",
            SERVICE,
        ),
    ),
}
RULES_OF = {"Namespace": "label", "Service": "service"}


def metadata_causes(resource: Resource, found: Mapping[str, Any]) -> list[Cause]:
    """What is wrong with the metadata of an object."""
    metadata = found["metadata"]
    return [
        *_name_causes(resource, metadata.get("name", "")),
        *_label_causes(metadata.get("labels") or {}),
        *_annotation_causes(metadata.get("annotations") or {}),
        *_owner_causes(metadata.get("ownerReferences") or []),
    ]


def _name_causes(resource: Resource, name: str) -> list[Cause]:
    field = "metadata.name"
    if not name:
        message = "Required value: name or generateName is required"
        return [cause(field, message, "FieldValueRequired")]
    if resource.group == "rbac.authorization.k8s.io":
        return []  # Names of roles are path segments: nearly anything.
    pattern, longest, message = NAME_RULES[RULES_OF.get(resource.kind, "subdomain")]
    causes = []
    if len(name) > longest:
        causes.append(
            cause(field, f'Invalid value: "{name}": must be no more than {longest} characters')
        )
    if not re.fullmatch(pattern, name):
        causes.append(cause(field, f'Invalid value: "{name}": {message}'))
    return causes


def _label_causes(labels: Mapping[str, str]) -> list[Cause]:
    causes = _key_causes("metadata.labels", labels)
    for value in labels.values():
        text = f'Invalid value: "{value}": '
        if len(value) > 63:
            causes.append(cause("metadata.labels", f"{text}must be no more than 63 characters"))
        if not re.fullmatch(VALUE, value):
            rule = _regex(
                "a valid label must be an empty string or consist of alphanumeric characters, '-', "
                "'_' or '.', and must start and end with an alphanumeric character",
                "'MyValue',  or 'my_value',  or '12345'",
                VALUE,
            )
            causes.append(cause("metadata.labels", text + rule))
    return causes


def _annotation_causes(annotations: Mapping[str, str]) -> list[Cause]:
    causes = _key_causes("metadata.annotations", annotations)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS_BYTES:
        message = f"Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes"
        causes.append(cause("metadata.annotations", message, "FieldValueTooLong"))
    return causes


def _key_causes(field: str, keys: Mapping[str, str]) -> list[Cause]:
    causes = []
    for key in keys:
        prefix, slash, name = key.rpartition("/")
        text = f'Invalid value: "{key}": '
        if slash and not re.fullmatch(SUBDOMAIN, prefix):
            message = f"prefix part {NAME_RULES['subdomain'][2]}"
            causes.append(cause(field, text + message))
        if len(name) > 63:
            causes.append(cause(field, f"{text}name part must be no more than 63 characters"))
        if not re.fullmatch(QUALIFIED, name):
            rule = _regex(
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must "
                "start and end with an alphanumeric character",
                "'MyName',  or 'my.name',  or '123-abc'",
                QUALIFIED,
            )
            causes.append(cause(field, text + rule))
    return causes


def _owner_causes(owners: list[Mapping[str, Any]]) -> list[Cause]:
    return [
        cause(f"metadata.ownerReferences.{field}", f'Invalid value: "": {message}')
        for owner in owners
        for field, message in (
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        )
        if not owner.get(field)
    ]
