"""The core schema of YAML 1.2: which plain scalars are no texts."""

from __future__ import annotations

import re

CORE = "tag:yaml.org,2002:"
"""Beginning of the tags of all kinds of values."""

_INT = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_SPECIAL = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"

CORE_SCHEMA = tuple(
    (CORE + kind, re.compile(f"^(?:{pattern})$"))
    for kind, pattern in (
        ("null", r"~|null|Null|NULL|"),
        ("bool", r"true|True|TRUE|false|False|FALSE"),
        ("int", _INT),
        ("float", f"{_FLOAT}|{_SPECIAL}"),
    )
)
"""Tag and form of the plain scalars that are no texts."""
