"""What Ray is told by the environment of the driver, the controller and the workers."""

from __future__ import annotations

from trainwright.orchestration.quiet import QUIET

ENVIRONMENT = {
    **QUIET,
    "RAY_TRAIN_V2_ENABLED": "1",
    # The controller looks at its workers this often; the default of 2 s delays every start and end.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # There was room a moment before; where it is gone, the driver waits and says so.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
    # The driver itself looks for nodes that are about to go; this would be one more process.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Workers on a node that does not answer would be asked to take leave for half a minute.
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "2",
}
