"""A resolved job as MLflow parameters: flat names, short values."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from trainwright.secrets import mask

MAX_PARAMS = 1000
"""Parameters logged per run; the whole job is an artifact besides."""

MAX_NAME = 250
MAX_VALUE = 6000
_ELLIPSIS = " …"


def flatten(job: Mapping[str, Any]) -> dict[str, str]:
    """Dotted path -> value as text, within MLflow's limits of name, length and number.

    Mappings and lists of mappings are walked (``strategies.0.name``); other lists are one value,
    written as JSON. Too long values are cut. Passwords in URLs are replaced by stars.
    """
    flat: dict[str, str] = {}
    for path, value in _leaves(job, ""):
        if len(flat) == MAX_PARAMS:
            break
        text = value if isinstance(value, str) else json.dumps(value)
        if "://" in text:
            text = mask(text)
        if len(text) > MAX_VALUE:
            text = text[: MAX_VALUE - len(_ELLIPSIS)] + _ELLIPSIS
        flat[safe_name(path)] = text
    return flat


def safe_name(name: str) -> str:
    """The nearest name that MLflow accepts for a parameter or metric.

    It allows letters, digits, ``_ - . : /`` and spaces, at most 250 characters, and nothing
    that reads as another path (``a//b``, ``../a``).
    """
    allowed = re.sub(r"[^\w.\-: /]", "_", name)[:MAX_NAME]
    if not allowed.strip("./"):
        return "_"
    normal = posixpath.normpath(allowed).lstrip("/")
    while normal.startswith("../"):
        normal = normal[3:]
    return normal


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{index}")
    else:
        yield path, value
