"""A trained model as it was, from a run's folder: model, strategies and weights in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from trainwright.checkpoint import Checkpoint
from trainwright.data.loading import Splits, load_splits
from trainwright.data.outline import Outline, from_plain
from trainwright.data.transforms import build_chain
from trainwright.engine.module import public_name
from trainwright.errors import CheckpointError, RunError
from trainwright.job.models import TrainJob
from trainwright.orchestration.run_code import base_of
from trainwright.storage import Folder
from trainwright.strategy import Context
from trainwright.training.assembly import Assembly, assemble
from trainwright.training.construction import Construction
from trainwright.training.samples import JobSamples


@dataclass
class Rebuilt:
    """A run's model with the weights of one checkpoint, on the CPU, in float32.

    Attributes:
        job: what was trained.
        base: folder against which plugin files and relative data paths of the job stand.
        checkpoint: where the weights are from.
        outline: what the training samples held.
        assembly: model, objective and strategies with their states.
    """

    job: TrainJob
    base: Path
    checkpoint: Checkpoint
    outline: Outline
    assembly: Assembly

    @cached_property
    def splits(self) -> Splits:
        """The run's own data, read again.

        Raises:
            InputError: it cannot be read from here.
            RunError: it is not the data that the run was trained on.
        """
        return _splits(self.job, self.base, self.checkpoint.state)


def rebuild(folder: Folder, checkpoint: Checkpoint, trusted: bool = False) -> Rebuilt:
    """Build a run's model again; its data is not read.

    Args:
        folder: the run's folder.
        checkpoint: which weights.
        trusted: whether the run's own code may be executed though this user never ran it here.

    Raises:
        InputError: a plugin of the job is missing here, or code of the run is not known here.
        RunError: its plugin files are not those that the checkpoint was written with.
        CheckpointError: it does not fit what the plugins now build, or is of a version before
            runs could be built again.
    """
    state = checkpoint.state
    if "outline" not in state:
        raise CheckpointError(
            f"{checkpoint.name} does not say what its data held: it was written by an earlier "
            "version of Trainwright. Continue the run with this one to get a checkpoint that does"
        )
    job = TrainJob.model_validate(state["job"])
    base = base_of(folder, state, trusted)
    outline = from_plain(state["outline"])
    chain = build_chain(job.data.transforms, base=base, seed=job.seed)
    chain.fit(outline.sample)
    chain.load_state_dict(state["transforms"])
    splits = Splits(outline, None, None, state["fingerprint"], chain)
    context = Context(seed=job.seed)
    assembly = assemble(job, base, splits, context, Construction(trains=False))
    context.data = JobSamples(lambda: _splits(job, base, state), assembly.module.model)
    _fill(assembly, checkpoint)
    for strategy in assembly.strategies.values():
        strategy.begin(context)
    return Rebuilt(job, base, checkpoint, outline, assembly)


def _splits(job: TrainJob, base: Path, state: Mapping[str, Any]) -> Splits:
    splits = load_splits(job.data, base=base, workers=0, seed=job.seed)
    if splits.fingerprint != state["fingerprint"]:
        raise RunError("the job's data is not what the run was trained on: its content has changed")
    splits.transforms.load_state_dict(state["transforms"])
    return splits


@torch.no_grad()
def _fill(assembly: Assembly, checkpoint: Checkpoint) -> None:
    """Weights, buffers and strategies' states as the checkpoint has them."""
    wrong = []
    for kind, named in (
        ("param", dict(assembly.module.named_parameters())),
        ("buffer", dict(assembly.module.named_buffers())),
    ):
        saved = set(checkpoint.names(kind)) if kind in checkpoint.kinds() else set()
        for name, tensor in named.items():
            public = public_name(name)
            if public in saved and tuple(checkpoint.shape(kind, public)) == tuple(tensor.shape):
                tensor.copy_(checkpoint.full(kind, public).reshape(tensor.shape))
            elif kind == "param":
                wrong.append(public)
    if wrong:
        raise CheckpointError(
            f"{checkpoint.name} does not fit the model that the job now builds; without or with "
            f"other weights: {', '.join(sorted(wrong))}"
        )
    assembly.auxiliaries.load(checkpoint)
    for name, state in checkpoint.state["strategies"].items():
        assembly.strategies[name].load_state_dict(state)
