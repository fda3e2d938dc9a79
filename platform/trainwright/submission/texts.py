"""Every text in the values of a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def texts_in(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and text of all texts in a job's values."""
    if isinstance(value, str):
        yield path, value
        return
    items = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield from texts_in(item, f"{path}.{key}" if path else str(key))
