"""Fixtures that several test folders share; expensive ones live as long as the test run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# The same examples in every run of `make test`; `make test-all` draws new ones. How long an example
# takes depends on the machine, so that neither has a limit.
settings.register_profile("new", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")


TOGETHER = ("tests/system", "tests/platform/compare", "tests/platform/tracking")
"""Folders whose tests share what is expensive: a Ray cluster, a finished comparison, a server."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a machine may have besides: the definitions of KubeRay's custom resources."""
    parser.addoption("--crds", help="folder of KubeRay's custom resource definitions")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest folder begins first, so that no process waits for another at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/system/"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side, a file's stay in one process, and those of some folders."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, _ = nodeid.partition("::")
            folder, _, _ = file.rpartition("/")
            return folder if folder in TOGETHER else file

    return ByFileOrFolder(config, log)


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
