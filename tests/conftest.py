"""Fixtures that several test folders share; expensive ones live as long as the test run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")


@pytest.fixture(scope="session")
def one_worker() -> Iterator[object]:
    """A process group of one process."""
    yield from _workers(1)


@pytest.fixture(scope="session")
def two_workers() -> Iterator[object]:
    """A process group of two processes."""
    yield from _workers(2)


def _workers(size: int) -> Iterator[object]:
    from gloo import Workers

    workers = Workers(size)
    try:
        yield workers
    finally:
        workers.close()
