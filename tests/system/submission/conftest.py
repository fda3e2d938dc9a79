"""A Ray cluster that the tests of submission share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray_heads import Head


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A head with two CPUs, which no test kills."""
    started = Head(num_cpus=2)
    try:
        yield started
    finally:
        started.close()
