"""What Ray is told by the environment of the driver, the controller and the workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from trainwright.orchestration.quiet import QUIET

ENVIRONMENT = {
    **QUIET,
    "RAY_TRAIN_V2_ENABLED": "1",
    # The driver itself looks for nodes that are about to go; this would be one more process.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Workers on a node that does not answer would be asked to take leave for half a minute.
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "2",
}

MOST_POLLS_PER_S = 1000
"""Questions of Ray Train's controller to its workers. Each takes a fifth of a millisecond of it
(``jobs/benchmarks``, scaling), so that five thousand are more than it can ask."""

BUNDLES_PER_S = 50
"""Workers for which Ray finds a place in a second, at the least."""


def of_a_group(workers: int) -> dict[str, str]:
    """What Ray Train is told besides about a group of so many workers.

    The controller looks at them often, for Ray's default of 2 s delays every start and end: but not
    more often than it can. For the group's places it waits a little only: there was room a moment
    before, and where it is gone the driver waits and says so.
    """
    return {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": f"{max(0.2, workers / MOST_POLLS_PER_S):g}",
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": f"{max(20.0, workers / BUNDLES_PER_S):g}",
    }


@contextmanager
def told_of(workers: int) -> Iterator[None]:
    """Inside, ``of_a_group`` is in the environment, as far as the user has not set it."""
    ours = {n: v for n, v in of_a_group(workers).items() if n not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
