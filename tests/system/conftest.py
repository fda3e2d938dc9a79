"""One Ray cluster, and whatever else whole runs share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import driving
import pytest

PLUGINS = Path(__file__).parent / "plugins"


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A Ray cluster that every run of this process joins; two CPUs, whatever the machine has."""
    from trainwright.orchestration.environment import ENVIRONMENT
    from trainwright.orchestration.quiet import set_defaults

    set_defaults({**ENVIRONMENT, "RAY_AUTH_MODE": "disabled"})
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture(scope="session")
def four_workers() -> Iterator[object]:
    """A process group of four processes."""
    from gloo import Workers

    workers = Workers(4)
    try:
        yield workers
    finally:
        workers.close()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in its own folder, and no server of the user's is written to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    while driving.STARTED:
        driving.STARTED.pop().end()
