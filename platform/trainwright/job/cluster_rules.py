"""Rules on the ``cluster`` section of a job."""

from __future__ import annotations

from trainwright.errors import Problem
from trainwright.job.models import TrainJob


def address_has_a_port(job: TrainJob) -> list[Problem]:
    """The port of a Ray address exists."""
    port = job.cluster.address.rpartition(":")[2]
    if not port.isdecimal() or 0 < int(port) < 65536:
        return []
    message = f"there is no port {port}"
    return [Problem("cluster.address", message, job.cluster.address, allowed="1 to 65535")]


def range_ascends(job: TrainJob) -> list[Problem]:
    """A range of workers goes from the fewest to the most."""
    least, most = job.cluster.min_workers, job.cluster.max_workers
    if least <= most:
        return []
    message = "names more workers as the fewest than as the most"
    return [Problem("cluster.workers", message, [least, most], mend=f"write [{most}, {least}]")]


def elastic_is_not_deterministic(job: TrainJob) -> list[Problem]:
    """Bits repeat where the same number of workers adds up the same parts."""
    if not (job.cluster.is_elastic and job.training.deterministic):
        return []
    return [
        Problem(
            "training.deterministic",
            f"cannot be promised: how many workers train is decided by what the cluster has room "
            f"for, and the last bits of a sum over {job.cluster.min_workers} workers are not those "
            f"of one over {job.cluster.max_workers}",
            True,
            mend="set one number of cluster.workers, or training.deterministic: false",
        )
    ]


CLUSTER_RULES = (
    address_has_a_port,
    range_ascends,
    elastic_is_not_deterministic,
)
"""Rules on where a job trains, and on how many workers."""
