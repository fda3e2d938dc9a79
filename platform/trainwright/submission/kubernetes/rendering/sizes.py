"""How many pods hold the processes of a job."""

from __future__ import annotations

import math

from trainwright.errors import InputError, Problem
from trainwright.submission.parcel import Need
from trainwright.submission.profile import Worker

_FINEST = 10_000
"""Ray counts resources in ten thousandths."""


def replicas_for(need: Need, worker: Worker) -> int:
    """The number of worker pods; 0 for a job that trains in the driver's process.

    Args:
        need: the processes of the job.
        worker: the shape of a pod.

    Raises:
        InputError: a pod does not hold a single process, or the profile's pods not all of them.
    """
    problems = list(_lacks(need, worker))
    if problems:
        raise InputError(problems)
    if need.workers == 0:
        return 0
    if need.workers is None:
        return worker.replicas or 1
    fit = processes_in(need, worker)
    wanted = math.ceil(need.workers / fit)
    if worker.replicas is not None and worker.replicas < wanted:
        raise InputError(
            Problem(
                "worker.replicas",
                f"of the profile are too few for cluster.workers={need.workers} of the job: "
                f"{fit} of them fit into one pod",
                worker.replicas,
                allowed=f"at least {wanted}",
                mend=f"--set-profile worker.replicas={wanted}, or leave it out of the profile",
            )
        )
    return worker.replicas or wanted


def processes_in(need: Need, worker: Worker) -> int:
    """How many processes of a job Ray puts into one pod at most."""
    fit = _units(_usable(worker.cpu)) // _units(need.cpus)
    if need.gpus >= 1:
        return min(fit, _units(worker.gpu) // _units(need.gpus))
    if need.gpus > 0:
        # A share of a GPU is a share of one and the same.
        return min(fit, worker.gpu * (_FINEST // _units(need.gpus)))
    return fit


def whole_cpus(cpu: float) -> int:
    """The CPUs of a pod as Ray counts them: whole ones, at least one."""
    return max(1, int(cpu))


def _usable(cpu: float) -> float:
    """What processes may share: the whole CPUs, or all of a pod that has less than one."""
    return whole_cpus(cpu) if cpu >= 1 else cpu


def _lacks(need: Need, worker: Worker) -> list[Problem]:
    problems = []
    # In the driver's process nothing is reserved for a job.
    if need.workers != 0 and _units(_usable(worker.cpu)) < _units(need.cpus):
        note = "; Ray counts whole ones" if worker.cpu > 1 else ""
        problems.append(
            Problem(
                "worker.cpu",
                "of the profile is less than one training process gets by "
                "cluster.cpus_per_worker of the job",
                worker.cpu,
                allowed=f"at least {need.cpus:g}{note}",
                mend=f"--set-profile worker.cpu={math.ceil(need.cpus)}, or "
                f"-s cluster.cpus_per_worker={_usable(worker.cpu):g}",
            )
        )
    if _units(worker.gpu) < _units(need.gpus):
        problems.append(
            Problem(
                "worker.gpu",
                "of the profile is less than one training process gets by "
                "cluster.gpus_per_worker of the job",
                worker.gpu,
                allowed=f"at least {need.gpus:g}",
                mend=f"--set-profile worker.gpu={math.ceil(need.gpus)}, or a --profile with GPUs",
            )
        )
    return problems


def _units(resource: float) -> int:
    return max(1, round(resource * _FINEST)) if resource else 0
