"""Rules that join several parts of a job: one small function each.

A rule takes the job and returns what is wrong; all rules run, so that a user sees every mistake
at once.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from trainwright.errors import Problem
from trainwright.job.cluster_rules import CLUSTER_RULES
from trainwright.job.cluster_spec import Processes
from trainwright.job.data_rules import DATA_RULES, EVALUATION_RULES
from trainwright.job.deepspeed_rules import DEEPSPEED_RULES
from trainwright.job.models import TrainJob
from trainwright.job.sources import in_memory
from trainwright.job.streaming_rules import STREAMING_RULES
from trainwright.suggest import nearest, one_of

if TYPE_CHECKING:
    from trainwright.job.load import Job

Rule = Callable[[TrainJob], list[Problem]]


class WithStorage(Protocol):
    """A job of any kind that keeps its runs somewhere, and may have workers."""

    @property
    def storage(self) -> str:
        """Folder or URL."""
        ...

    @property
    def cluster(self) -> Processes:
        """Where it runs."""
        ...


def epochs_or_steps(job: TrainJob) -> list[Problem]:
    """The length of training is said once."""
    if job.training.epochs is None or job.training.steps is None:
        return []
    message = f"the job says both {job.training.epochs} epochs and {job.training.steps} steps"
    mend = "remove training.epochs or training.steps"
    return [Problem("training.steps", message, job.training.steps, mend=mend)]


def every_worker_gets_samples(job: TrainJob) -> list[Problem]:
    """The global batch has at least one sample for each worker."""
    most = job.cluster.max_workers
    if job.data.batch_size >= most:
        return []
    are = "may be" if job.cluster.is_elastic else "are"
    return [
        Problem(
            "data.batch_size",
            f"is the batch of all workers together, and there {are} {most}",
            job.data.batch_size,
            allowed=f"at least {most}, or fewer cluster.workers",
        )
    ]


def micro_batch_fits_batch(job: TrainJob) -> list[Problem]:
    """A micro-batch is a part of the global batch."""
    micro = job.training.micro_batch_size
    if micro is None or micro <= job.data.batch_size:
        return []
    allowed = f"at most data.batch_size, {job.data.batch_size}"
    return [Problem("training.micro_batch_size", "is larger than the batch", micro, allowed)]


def fp16_has_a_gpu(job: TrainJob) -> list[Problem]:
    """Half precision with loss scaling exists on GPUs only."""
    if job.training.precision != "fp16" or job.cluster.gpus_per_worker > 0:
        return []
    return [
        Problem(
            "training.precision",
            "fp16 needs a GPU, and cluster.gpus_per_worker is 0",
            "fp16",
            allowed="fp32 or bf16 on CPU",
            mend="or set cluster.gpus_per_worker: 1",
        )
    ]


def backend_compiles(job: TrainJob) -> list[Problem]:
    """The backend of ``torch.compile`` is one that torch knows; inductor alone has modes."""
    spec = job.training.compile
    if spec is None:
        return []
    if spec.mode != "default" and spec.backend != "inductor":
        path, message = "training.compile.mode", f"is for inductor, and the backend {spec.backend}"
        return [Problem(path, message, spec.mode, "default", mend="or leave out the backend")]
    if spec.backend in ("inductor", "eager", "aot_eager"):  # to ask torch takes seconds
        return []
    from torch import _dynamo as dynamo

    known = dynamo.list_backends(exclude_tags=None)
    if spec.backend in known:
        return []
    usual = dynamo.list_backends()
    path, message = "training.compile.backend", "is no backend of torch.compile"
    near = nearest(spec.backend, known)
    return [Problem(path, message, spec.backend, one_of([*usual, "eager", "aot_eager"]), near)]


def local_engine_is_alone(job: TrainJob) -> list[Problem]:
    """The local engine trains in one process."""
    most = job.cluster.max_workers
    if job.engine != "local" or most <= 1:
        return []
    are = f"may be {most}" if job.cluster.is_elastic else f"is {most}"
    return [
        Problem(
            "engine",
            f"the local engine trains in one process, and cluster.workers {are}",
            "local",
            allowed="engine: deepspeed (or auto) with several workers",
            mend="or set cluster.workers: 0 (in this process) or 1",
        )
    ]


def deepspeed_runs_on_linux(job: TrainJob) -> list[Problem]:
    """DeepSpeed is installed on Linux only; elsewhere the local engine trains."""
    automatic = job.engine == "auto" and job.cluster.max_workers > 0
    if sys.platform == "linux" or not (job.engine == "deepspeed" or automatic):
        return []
    return [
        Problem(
            "engine",
            f"DeepSpeed does not run on {sys.platform}",
            job.engine,
            allowed="engine: local with cluster.workers: 0 or 1",
        )
    ]


def strategies_differ(job: TrainJob) -> list[Problem]:
    """A strategy's state is kept under its name, so each stands once."""
    names = [strategy.name for strategy in job.strategies]
    twice = {name for name, count in Counter(names).items() if count > 1}
    return [
        Problem(
            f"strategies.{index}.name",
            f"stands twice, as strategies.{names.index(name)} already",
            name,
            mend="remove one",
        )
        for index, name in enumerate(names)
        if name in twice and names.index(name) != index
    ]


def storage_outlives_the_process(job: WithStorage) -> list[Problem]:
    """Runs in memory are seen by one process only."""
    if job.cluster.max_workers == 0 or not in_memory(job.storage):
        return []
    return [
        Problem(
            "storage",
            "is in the memory of one process, which the workers cannot see",
            job.storage,
            allowed="a folder, file:// or s3://; memory:// with cluster.workers: 0",
        )
    ]


def storage_has_a_known_protocol(job: TrainJob) -> list[Problem]:
    """The storage URL is one that fsspec can open."""
    protocol, sign, _ = job.storage.partition("://")
    if not sign:
        return []
    from fsspec import available_protocols

    known = available_protocols()
    if all(part in known for part in protocol.split("::")):
        return []
    return [
        Problem(
            "storage",
            f"there is no file system {protocol}://",
            job.storage,
            allowed="a folder, or a URL such as file://, s3://, gs://, https://",
            nearest=nearest(protocol, known),
        )
    ]


def outputs_differ(job: TrainJob) -> list[Problem]:
    """An output of the model has one name."""
    outputs = job.model.outputs or []
    twice = [name for name, count in Counter(outputs).items() if count > 1]
    if not twice:
        return []
    return [Problem("model.outputs", f"names {one_of(twice)} twice", outputs)]


RULES: tuple[Rule, ...] = (
    epochs_or_steps,
    every_worker_gets_samples,
    micro_batch_fits_batch,
    fp16_has_a_gpu,
    backend_compiles,
    local_engine_is_alone,
    deepspeed_runs_on_linux,
    strategies_differ,
    storage_outlives_the_process,
    storage_has_a_known_protocol,
    outputs_differ,
    *CLUSTER_RULES,
    *DATA_RULES,
    *STREAMING_RULES,
    *EVALUATION_RULES,
    *DEEPSPEED_RULES,
)
"""Every rule, in the order in which they are checked."""


def broken_rules_of(job: Job) -> list[Problem]:
    """What all rules find wrong with a job of kind ``train``."""
    return broken_rules(job.spec)


def broken_rules(job: TrainJob) -> list[Problem]:
    """What all rules find wrong with ``job``."""
    return [problem for rule in RULES for problem in rule(job)]
