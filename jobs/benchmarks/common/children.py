"""The environment of processes that a benchmark starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The folder of all benchmarks."""

IMPORTS = {"PYTHONPATH": str(ROOT)}
"""Lets a process import the benchmarks' modules, in an environment of its own too."""


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
