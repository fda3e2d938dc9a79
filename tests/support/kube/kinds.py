"""What the API server fills in and refuses for single kinds, as far as a submission can notice."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from kube.clock import now
from kube.errors import ApiError, Cause, cause

Json = dict[str, Any]

MAX_DATA_BYTES = 1024 * 1024


def _namespace(found: Json) -> None:
    found.setdefault("spec", {"finalizers": ["kubernetes"]})
    found["status"] = {"phase": "Active"}
    labels = found["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = found["metadata"]["name"]


def _pod(found: Json) -> None:
    spec = found["spec"]
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    found["status"] = {"phase": "Pending"}


def _job(found: Json) -> None:
    spec = found["spec"]
    for field, value in (("backoffLimit", 6), ("completions", 1), ("parallelism", 1)):
        spec.setdefault(field, value)
    spec.setdefault("suspend", False)
    found["status"] = {}


def _claim(found: Json) -> None:
    found["status"] = {"phase": "Pending"}


def _secret(found: Json) -> None:
    found.setdefault("type", "Opaque")
    plain = found.pop("stringData", {})
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    if coded:
        found["data"] = {**found.get("data", {}), **coded}


def _definition(found: Json) -> None:
    group = found["spec"]["group"]
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now(),
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", f"the names of {group} have been accepted"),
        )
    ]
    found["status"] = {
        "conditions": conditions,
        "acceptedNames": found["spec"]["names"],
        "storedVersions": [v["name"] for v in found["spec"]["versions"] if v["storage"]],
    }


_DEFAULTS: dict[str, Callable[[Json], None]] = {
    "CustomResourceDefinition": _definition,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "Secret": _secret,
}


def fill_in(found: Json) -> None:
    """Defaults of a new object."""
    if found["kind"] in _DEFAULTS:
        _DEFAULTS[found["kind"]](found)


def decode(found: Mapping[str, Any]) -> None:
    """Refuse what does not even decode as the kind it claims to be.

    Raises:
        ApiError: 400.
    """
    kind = found["kind"]
    texts = {"ConfigMap": ("data",), "Secret": ("data", "stringData")}.get(kind, ())
    named = {f"{kind}.{part}": found.get(part) for part in texts}
    for part in ("labels", "annotations"):
        named[f"ObjectMeta.metadata.{part}"] = found["metadata"].get(part)
    for field, values in named.items():
        for value in (values or {}).values():
            if not isinstance(value, str):
                got = {bool: "bool", dict: "object", list: "array"}.get(type(value), "number")
                raise ApiError(
                    400,
                    f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal '
                    f"{got} into Go struct field {field} of type string",
                )


def kind_causes(found: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[Cause]:
    """What is wrong with an object of its kind, or with the way it was changed."""
    if found["kind"] == "Pod":
        return _pod_causes(found)
    if found["kind"] in ("ConfigMap", "Secret"):
        return _data_causes(found, before)
    return []


def _pod_causes(found: Mapping[str, Any]) -> list[Cause]:
    containers = found["spec"].get("containers")
    if not containers:
        return [cause("spec.containers", "Required value", "FieldValueRequired")]
    return [
        cause(f"spec.containers[{place}].{field}", "Required value", "FieldValueRequired")
        for place, container in enumerate(containers)
        for field in ("name", "image")
        if not container.get(field)
    ]


def _data_causes(found: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[Cause]:
    parts = {name: found.get(name) or {} for name in ("data", "binaryData")}
    causes = []
    for name, values in parts.items():
        for key in values:
            if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
                message = (
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation "
                    "is '[-._a-zA-Z0-9]+')"
                )
                causes.append(cause(f"{name}[{key}]", f'Invalid value: "{key}": {message}'))
    if _size_bytes(found["kind"], parts) > MAX_DATA_BYTES:
        field = "data" if found["kind"] == "Secret" else ""
        message = f"Too long: may not be more than {MAX_DATA_BYTES} bytes"
        causes.append(cause(field, message, "FieldValueTooLong"))
    if before is not None and before.get("immutable"):
        for field in ("immutable", "data", "binaryData"):
            if found.get(field) != before.get(field):
                message = "Forbidden: field is immutable when `immutable` is set"
                causes.append(cause(field, message, "FieldValueForbidden"))
    return causes


def _size_bytes(kind: str, parts: Mapping[str, Mapping[str, str]]) -> int:
    """Size as the limit counts it: keys do not, and what is base64 counts decoded."""
    plain = [value for value in parts["data"].values() if kind == "ConfigMap"]
    coded = [*parts["binaryData"].values(), *(parts["data"].values() if kind == "Secret" else ())]
    return sum(len(text.encode()) for text in plain) + sum(
        len(base64.b64decode(text)) for text in coded
    )
