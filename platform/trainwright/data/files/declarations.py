"""Checks of declared columns, and suggestions where none are declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from trainwright.data.files.arrays import is_list
from trainwright.errors import Problem
from trainwright.job.models import ColumnSpec

_TARGETS = ("target", "label", "class", "y")


def check_columns(columns: Mapping[str, ColumnSpec]) -> list[Problem]:
    """What is wrong with ``data.columns`` beyond the rules that the job's form has already kept."""
    return [
        problem
        for name, spec in columns.items()
        for problem in (_mask_name(name, spec, columns), _sources(name, spec), _labels(name, spec))
        if problem is not None
    ]


def _mask_name(name: str, spec: ColumnSpec, columns: Mapping[str, ColumnSpec]) -> Problem | None:
    if spec.type != "tokens" or f"{name}_mask" not in columns:
        return None
    return Problem(
        path=f"data.columns.{name}_mask",
        message=f"{name}_mask is made for the tokens column {name} and cannot be declared",
        mend="rename one of the two",
    )


def _sources(name: str, spec: ColumnSpec) -> Problem | None:
    one = not isinstance(spec.source, list) or len(spec.source) == 1
    if one or spec.type in ("vector", "value"):
        return None
    return Problem(
        path=f"data.columns.{name}.from",
        message=f"a column of type {spec.type} is read from one file column",
        got=spec.source,
        allowed="one name; several only for type vector or value",
    )


def _labels(name: str, spec: ColumnSpec) -> Problem | None:
    if not isinstance(spec.classes, list):
        return None
    if len({str(label) for label in spec.classes}) == len(spec.classes):
        return None
    return Problem(
        path=f"data.columns.{name}.classes",
        message="a label comes twice",
        got=spec.classes,
        allowed="labels that differ as text",
    )


def suggestion(schema: Any) -> str:
    """A ``columns`` block for files of this Arrow schema, ready to paste below ``data:``.

    Single numbers become one vector, a column that is called like a target (else the last single
    number or text) the target.
    """
    fields = [field for field in schema if not field.name.startswith("__")]
    scalars = [f.name for f in fields if not _is_compound(f.type)]
    target = next((n for n in scalars if n.lower() in _TARGETS), scalars[-1] if scalars else None)
    numbers = [
        f.name for f in fields if f.name in scalars and _is_number(f.type) and f.name != target
    ]
    lines = [f"    {_quoted(f.name)}: {_compound(f.type)}" for f in fields if _is_compound(f.type)]
    if numbers:
        names = ", ".join(map(_quoted, numbers))
        lines.append(f"    features: {{type: vector, from: [{names}]}}")
    if target is not None:
        kind = "value" if pa.types.is_floating(schema.field(target).type) else "class"
        lines.append(f"    target: {{type: {kind}, from: {_quoted(target)}}}")
    return "\n".join(["  columns:", *lines])


def _is_compound(kind: Any) -> bool:
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return is_list(kind) or is_bytes or pa.types.is_struct(kind)


def _is_number(kind: Any) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


def _compound(kind: Any) -> str:
    image = "{type: image, shape: [3, 32, 32]}  # the images' true shape"
    depth, leaf = 0, kind
    while is_list(leaf):
        depth, leaf = depth + 1, leaf.value_type
    if depth == 0 or depth == 3 or pa.types.is_uint8(leaf):
        return image
    if pa.types.is_integer(leaf) and not pa.types.is_fixed_size_list(kind):
        return "{type: tokens}"
    return "{type: vector}"


def _quoted(name: str) -> str:
    return name if name.isidentifier() else '"' + name.replace('"', '\\"') + '"'
