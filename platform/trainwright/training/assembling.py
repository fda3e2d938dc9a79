"""The objects of a job for workers that share the weights: none of them builds the model whole."""

from __future__ import annotations

from pathlib import Path

from trainwright.data.loading import Splits
from trainwright.engine.deferred import SMALL, Deferred
from trainwright.job.models import TrainJob
from trainwright.strategy import Context
from trainwright.training.assembly import Assembly, assemble
from trainwright.training.construction import Construction, is_sharded
from trainwright.training.starting import Place


def assemble_in_parts(
    job: TrainJob, base: Path, splits: Splits, context: Context, weights: Place | None = None
) -> tuple[Assembly, Deferred | None, list[str]]:
    """Build all objects of a job; at ZeRO stage 3 without the model's weights, if that can be.

    The weights are the same in either case, bit for bit.

    Args:
        job: the validated job.
        base: folder against which plugin files are found.
        splits: the loaded data.
        context: see :func:`trainwright.training.assembly.assemble`.
        weights: starting weights of the model.

    Returns:
        The objects; what makes the weights, None if they are made; remarks for the user.

    Raises:
        InputError: a plugin refuses its options, or parts do not fit together.
    """
    if not is_sharded(job):
        return assemble(job, base, splits, context, Construction(weights)), None, []
    deferred = Deferred()
    try:
        assembly = assemble(job, base, splits, context, Construction(weights, deferred))
    except Exception as error:  # the user's code may raise anything where it expects values
        assembly = assemble(job, base, splits, context, Construction(weights))
        reason = f"{type(error).__name__}: {error}"
        remark = "every worker builds the model whole before it is sharded, because its code "
        return assembly, None, [f"{remark}needs the values of its weights ({reason})"]
    whole = sum(
        p.numel() * p.element_size()
        for p in assembly.module.parameters()
        if not deferred.holds(p) and p.numel() > SMALL
    )
    remark = f"the model's code makes {whole:,} bytes of its weights whole on every worker, at once"
    return assembly, deferred, [remark] if whole else []
