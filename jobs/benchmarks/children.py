"""The environment of processes that a benchmark starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment_of(children: Mapping[str, str]) -> Iterator[None]:
    """Processes started inside have these variables besides this one's own."""
    before = dict(os.environ)
    os.environ.update(children)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
