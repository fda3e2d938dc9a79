"""A job's objects where it is checked, on a machine that need not hold what its workers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from trainwright.data.loading import Splits
from trainwright.job.models import TrainJob
from trainwright.strategy import Context
from trainwright.training.assembling import assemble_in_parts
from trainwright.training.assembly import Assembly, assemble
from trainwright.training.construction import Construction, is_sharded
from trainwright.training.dry_run import dry_run, world_size_dependence
from trainwright.training.metrics import monitored
from trainwright.training.monitored import Best
from trainwright.training.randomness import deterministic_kernels
from trainwright.training.starting import Place

SHARE = 0.5
"""Of the memory that is free here, what a model's weights may take to be tried out."""


@dataclass(frozen=True)
class Trial:
    """A job's objects, with or without the values of the weights.

    Attributes:
        assembly: the objects.
        remarks: how workers will build them.
        has_weights: whether a pass over samples can be tried.
    """

    assembly: Assembly
    remarks: list[str]
    has_weights: bool = True

    def passes(self, base: Path) -> tuple[list[str], list[str], Best]:
        """A pass over a few samples: remarks, the metrics of an evaluation, the monitored one.

        Raises:
            JobError: it fails.
        """
        assembly = self.assembly
        if self.has_weights:
            with deterministic_kernels(assembly.job.training.deterministic):
                remarks, names, best = dry_run(assembly, base)
            return [*remarks, *self.remarks], names, best
        return [*world_size_dependence(assembly), *self.remarks], [], monitored(assembly.job, base)


def try_out(
    job: TrainJob, base: Path, splits: Splits, context: Context, weights: Place | None
) -> Trial:
    """Build a job's objects for checking, whole if that is possible here.

    Raises:
        InputError: a plugin refuses its options, or parts do not fit together.
    """
    remarks: list[str] = []
    if is_sharded(job):
        parts, deferred, remarks = assemble_in_parts(job, base, splits, context, weights)
        size = sum(p.numel() * p.element_size() for p in parts.module.parameters())
        free = psutil.virtual_memory().available
        if deferred is None:
            return Trial(parts, remarks)
        if size > SHARE * free:
            remark = (
                f"the model was not tried on samples: its weights take {size / 2**30:.1f} GiB, "
                f"more than half of the {free / 2**30:.1f} GiB that are free here"
            )
            return Trial(parts, [*remarks, remark], has_weights=False)
    return Trial(assemble(job, base, splits, context, Construction(weights)), remarks)
