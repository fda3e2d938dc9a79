"""Checks of declared columns that need no data, and suggestions where none are declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from trainwright.data.files.arrays import is_list
from trainwright.data.table import SAMPLE_ID
from trainwright.errors import Problem
from trainwright.job.models import ColumnSpec

_TARGETS = ("target", "label", "class", "y")
_APPLIES: dict[str, tuple[str, ...]] = {
    "shape": ("image", "vector", "value", "mask"),
    "classes": ("class", "tokens"),
    "length": ("tokens", "mask"),
}


def check_columns(columns: Mapping[str, ColumnSpec]) -> list[Problem]:
    """Every mistake in ``data.columns`` that shows without reading the files."""
    rules: tuple[Callable[[str, ColumnSpec, Mapping[str, ColumnSpec]], list[Problem]], ...] = (
        _names,
        _fields,
        _sources,
        _values,
    )
    return [
        problem
        for name, spec in columns.items()
        for rule in rules
        for problem in rule(name, spec, columns)
    ]


def _names(name: str, spec: ColumnSpec, columns: Mapping[str, ColumnSpec]) -> list[Problem]:
    path = f"data.columns.{name}"
    if name == SAMPLE_ID:
        message = f"{SAMPLE_ID} is reserved for the row number, which every table has"
        return [Problem(path=path, message=message, mend="give the column another name")]
    if spec.type == "tokens" and f"{name}_mask" in columns:
        message = f"{name}_mask is made for the tokens column {name} and cannot be declared"
        return [Problem(path=f"{path}_mask", message=message, mend="rename one of the two")]
    return []


def _fields(name: str, spec: ColumnSpec, columns: Mapping[str, ColumnSpec]) -> list[Problem]:
    return [
        Problem(
            path=f"data.columns.{name}.{field}",
            message=f"{field} does not apply to a column of type {spec.type}",
            got=getattr(spec, field),
            allowed=f"{field} with type {' or '.join(types)}",
        )
        for field, types in _APPLIES.items()
        if getattr(spec, field) is not None and spec.type not in types
    ]


def _sources(name: str, spec: ColumnSpec, columns: Mapping[str, ColumnSpec]) -> list[Problem]:
    one = not isinstance(spec.source, list) or len(spec.source) == 1
    if one or spec.type in ("vector", "value"):
        return []
    return [
        Problem(
            path=f"data.columns.{name}.from",
            message=f"a column of type {spec.type} is read from one file column",
            got=spec.source,
            allowed="one name; several only for type vector or value",
        )
    ]


def _values(name: str, spec: ColumnSpec, columns: Mapping[str, ColumnSpec]) -> list[Problem]:
    path = f"data.columns.{name}"
    problems = []
    if spec.type == "image" and spec.shape is not None and len(spec.shape) != 3:
        problems.append(
            Problem(
                path=f"{path}.shape",
                message="an image has three dimensions",
                got=spec.shape,
                allowed="[channels, height, width]",
            )
        )
    if isinstance(spec.classes, list):
        if spec.type == "tokens":
            message, allowed = "tokens have no labels", "the size of the vocabulary"
        elif len({str(label) for label in spec.classes}) < len(spec.classes):
            message, allowed = "a label comes twice", "distinct labels"
        else:
            return problems
        problems.append(
            Problem(path=f"{path}.classes", message=message, got=spec.classes, allowed=allowed)
        )
    return problems


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
