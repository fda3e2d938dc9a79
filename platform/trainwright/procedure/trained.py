"""An earlier run as a procedure sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.checkpoint import Checkpoint, CheckpointStore
from trainwright.data.facts import data_facts
from trainwright.data.table import Table
from trainwright.job.models import ModelSpec, TrainJob
from trainwright.orchestration.evaluating import batch_size_of, evaluator_of
from trainwright.orchestration.exporting import exported_model
from trainwright.orchestration.rebuilding import Rebuilt, rebuild
from trainwright.orchestration.run_code import base_of
from trainwright.procedure.data import batches_of, in_memory, table_of
from trainwright.storage import Folder
from trainwright.strategy import Batch, Loss, Outputs
from trainwright.training.construction import WHOLE, build_model
from trainwright.training.evaluate import Evaluator


class TrainedRun:
    """A trained model with its data, objective and metrics, on the CPU, in float32.

    It travels to other processes as a reference, and is read there again, once for each process.
    Code that comes with the run is executed only where the user knows it: the driver looks.

    Attributes:
        name: the run's name.
        url: of its folder.
        checkpoint_name: which of its checkpoints the weights are from.
    """

    def __init__(self, name: str, url: str, checkpoint_name: str, trusted: bool = False) -> None:
        self.name = name
        self.url = url
        self.checkpoint_name = checkpoint_name
        self._trusted = trusted
        self._last: tuple[nn.Module, Evaluator] | None = None

    @property
    def folder(self) -> Folder:
        """The run's folder."""
        return Folder(self.url)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """All that was saved: weights and optimizer state by name, states of strategies."""
        return CheckpointStore(self.folder).at(self.checkpoint_name)

    @property
    def step(self) -> int:
        """Updates that were finished then."""
        return self.checkpoint.step

    @property
    def job(self) -> TrainJob:
        """What was trained."""
        return self._rebuilt.job

    @property
    def base(self) -> Path:
        """A folder with the run's plugin files, from which its job can be built again."""
        return self._rebuilt.base

    def untrained(self, options: Mapping[str, Any]) -> nn.Module:
        """The model as its plugin makes it, before strategies and training; weights by the seed.

        Args:
            options: of the plugin, in place of those that the run's job has.

        Raises:
            InputError: the plugin refuses them.
        """
        job, splits = self.job, self._rebuilt.assembly.splits
        spec = job.model.model_dump(by_alias=True, include={"name", "inputs", "outputs"})
        changed = {**spec, "options": {**job.model.options, **options}}
        job = job.model_copy(update={"model": ModelSpec.model_validate(changed)})
        with torch.random.fork_rng():
            torch.manual_seed(job.seed)
            facts = data_facts(splits.columns, job.model.inputs)
            return build_model(job, self.base, splits, facts, WHOLE).model.eval()

    def model(self) -> nn.Module:
        """A copy of the trained model in evaluation mode, as it is exported; free to be changed.

        It is of the class that the job names, unless a strategy exports another one.
        """
        return copy.deepcopy(self._exported)

    def forward(self, batch: Batch, model: nn.Module | None = None) -> Outputs:
        """Named outputs for a batch, through the strategies' ``predict`` hooks.

        Gradients flow, to the batch's columns as well.

        Args:
            batch: columns as ``batches`` gives them.
            model: used in the trained one's place, and so without the strategies.
        """
        return self._evaluator(model).forward(batch)

    def loss(self, batch: Batch, model: nn.Module | None = None) -> Tensor:
        """The objective of the run's job on a batch, shape (); arguments as for ``forward``."""
        loss: Loss = self._rebuilt.assembly.terms(self.forward(batch, model), batch)
        return loss.value

    def evaluate(
        self, samples: str | Table = "validation", model: nn.Module | None = None
    ) -> dict[str, float]:
        """The loss and the metrics of the run's job on samples.

        Args:
            samples: ``train``, ``validation`` or ``test`` of the run's own data, or a table with
                its columns.
            model: measured in the trained one's place, and so without the strategies: one that
                was pruned, say. It takes and gives what the trained one does.

        Returns:
            Name -> value, without the split in the name.

        Raises:
            InputError: the run's job has no such split.
            RunError: the run's data has changed since.
        """
        splits = self._rebuilt.splits
        table = samples if isinstance(samples, Table) else table_of(splits, samples)
        found = self._evaluator(model)(table, "at")
        return {name.removeprefix("at/"): value for name, value in found.items()}

    def table(self, split: str = "validation") -> Table:
        """Samples of the run's own data, before the transforms; raises as ``evaluate`` does."""
        return in_memory(table_of(self._rebuilt.splits, split))

    def batches(
        self, split: str = "validation", batch_size: int | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The run's own samples in their order, ready for ``forward``; raises as ``evaluate``.

        Args:
            split: ``train``, ``validation`` or ``test``.
            batch_size: samples at a time; default: as in the run's evaluations.
        """
        size = batch_size or batch_size_of(self._rebuilt)
        return batches_of(self._rebuilt.splits, split, size)

    @cached_property
    def _rebuilt(self) -> Rebuilt:
        rebuilt = rebuild(self.folder, self.checkpoint, self._trusted)
        rebuilt.assembly.module.eval()
        return rebuilt

    @cached_property
    def _exported(self) -> nn.Module:
        # Hooks may change the model they are given, which `forward` still needs as it was.
        if self.checkpoint.state.get("exports"):
            return exported_model(rebuild(self.folder, self.checkpoint, self._trusted))
        return exported_model(self._rebuilt)

    @cached_property
    def _own_evaluator(self) -> Evaluator:
        return evaluator_of(self._rebuilt)

    def _evaluator(self, model: nn.Module | None) -> Evaluator:
        """Kept while the same model is asked for: making one takes longer than a small batch."""
        if model is None:
            return self._own_evaluator
        if self._last is None or self._last[0] is not model:
            self._last = model, evaluator_of(self._rebuilt, model)
        return self._last[1]

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._trusted:
            base_of(self.folder, self.checkpoint.state)
        return _arrived, (self.name, self.url, self.checkpoint_name)

    def __repr__(self) -> str:
        return f"TrainedRun({self.name}@{self.checkpoint_name})"


@lru_cache(maxsize=8)
def _arrived(name: str, url: str, checkpoint_name: str) -> TrainedRun:
    """In another process: rebuilt once for all items that are worked on there."""
    return TrainedRun(name, url, checkpoint_name, trusted=True)
