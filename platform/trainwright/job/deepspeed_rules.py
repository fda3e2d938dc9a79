"""Rules on the ``deepspeed`` section of a job."""

from __future__ import annotations

from pydantic import ValidationError

from trainwright.errors import Problem
from trainwright.job.deepspeed import OWNED, UNSUPPORTED, DeepSpeed
from trainwright.job.fields import keys_of
from trainwright.job.models import TrainJob
from trainwright.job.problems import problems_of
from trainwright.suggest import nearest


def keys_are_not_owned(job: TrainJob) -> list[Problem]:
    """What the loop decides is said by the job's own keys, once."""
    return [
        Problem(
            f"deepspeed.{key}",
            f"is decided by {OWNED[key]} of the job",
            value,
            nearest=OWNED[key],
            mend=f"remove it here and set {OWNED[key]}",
        )
        for key, value in job.deepspeed.items()
        if key in OWNED
    ]


def keys_are_supported(job: TrainJob) -> list[Problem]:
    """Parts of DeepSpeed that would run beside the loop are refused."""
    return [
        Problem(f"deepspeed.{key}", f"cannot be used: {UNSUPPORTED[key]}", value, mend="remove it")
        for key, value in job.deepspeed.items()
        if key in UNSUPPORTED
    ]


def settings_are_known(job: TrainJob) -> list[Problem]:
    """Every other key and value is one that DeepSpeed knows; it would ignore a misspelt one."""
    rest = {k: v for k, v in job.deepspeed.items() if k not in OWNED and k not in UNSUPPORTED}
    try:
        DeepSpeed.model_validate(rest, strict=True)
    except ValidationError as error:
        return [_meant(problem) for problem in problems_of(error, rest, DeepSpeed, "deepspeed")]
    return []


def _meant(problem: Problem) -> Problem:
    """A misspelt key may also be one that the job decides elsewhere."""
    section, _, key = problem.path.rpartition(".")
    if section != "deepspeed" or not problem.message.startswith("there is no key"):
        return problem
    closest = nearest(key, [*keys_of(DeepSpeed), *OWNED, *UNSUPPORTED])
    mend = f"{closest} is decided by {OWNED[closest]} of the job" if closest in OWNED else None
    return Problem(
        problem.path, problem.message, allowed=problem.allowed, nearest=closest, mend=mend
    )


def compiled_at_low_stages(job: TrainJob) -> list[Problem]:
    """Stage 3 gathers parameters between the layers, where a compiled model has no layers."""
    in_process = job.engine == "auto" and job.cluster.max_workers == 0
    if job.training.compile is None or job.engine == "local" or in_process:
        return []
    if settings_are_known(job) or job.deepspeed.get("zero_optimization", {}).get("stage", 0) != 3:
        return []
    return [
        Problem(
            "training.compile",
            "a compiled model cannot gather its parameters layer by layer, as ZeRO stage 3 does",
            True,
            mend="use stage 2 or below, or leave out training.compile",
        )
    ]


def stage_fits_offload(job: TrainJob) -> list[Problem]:
    """Offloading needs the stage that splits what is offloaded."""
    zero = job.deepspeed.get("zero_optimization", {})
    if settings_are_known(job):
        return []
    needs = {"offload_optimizer": 1, "offload_param": 3}
    stage = zero.get("stage", 0)
    return [
        Problem(
            f"deepspeed.zero_optimization.{key}",
            f"needs stage {least}{' or above' if least < 3 else ''}, the job has stage {stage}",
            zero[key],
        )
        for key, least in needs.items()
        if zero.get(key) and zero[key].get("device", "none") != "none" and stage < least
    ]


def partitions_divide_the_workers(job: TrainJob) -> list[Problem]:
    """Groups of workers that keep parameters whole among them are equally large."""
    if settings_are_known(job):
        return []
    size = int(job.deepspeed.get("zero_optimization", {}).get("zero_hpz_partition_size", 1))
    wrong = [number for number in job.cluster.numbers_of_workers if size > 1 and number % size]
    if not wrong:
        return []
    there = "may be" if job.cluster.is_elastic else "are"
    return [
        Problem(
            "deepspeed.zero_optimization.zero_hpz_partition_size",
            f"does not divide the number of workers, of which there {there} {wrong[0]}",
            size,
            mend="remove it, or set another number of cluster.workers",
        )
    ]


DEEPSPEED_RULES = (
    keys_are_not_owned,
    keys_are_supported,
    settings_are_known,
    stage_fits_offload,
    compiled_at_low_stages,
    partitions_divide_the_workers,
)
