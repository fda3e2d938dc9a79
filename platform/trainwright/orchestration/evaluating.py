"""A trained run measured again, on its own held-out samples or on others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from trainwright.checkpoint import CheckpointStore
from trainwright.data.rows import Rows
from trainwright.engine import EngineSettings
from trainwright.engine.local import LocalEngine
from trainwright.engine.module import NamedModel, TrainModule
from trainwright.errors import InputError, Problem
from trainwright.orchestration.exporting import chosen
from trainwright.orchestration.rebuilding import Rebuilt, rebuild
from trainwright.orchestration.unseen import unseen
from trainwright.storage import Folder
from trainwright.training.evaluate import Evaluator
from trainwright.training.metrics import build_metrics


@dataclass(frozen=True)
class Evaluated:
    """An evaluation of a finished or unfinished run.

    Attributes:
        run: name of the run.
        checkpoint: name of the checkpoint that the weights are from.
        step: updates that were finished then.
        num_samples: samples evaluated, by split; ``data`` are those that were given.
        metrics: ``<split>/<name>`` -> value.
        remarks: damaged checkpoints that were passed over.
    """

    run: str
    checkpoint: str
    step: int
    num_samples: dict[str, int]
    metrics: dict[str, float]
    remarks: list[str]


def rebuilt_run(
    folder: Folder, which: str | int | None, trusted: bool = False
) -> tuple[Rebuilt, list[str]]:
    """A run's model with the weights of a checkpoint, and remarks about damaged ones."""
    store = CheckpointStore(folder)
    checkpoint = chosen(store, _name(folder), which, folder)
    return rebuild(folder, checkpoint, trusted), list(store.warnings)


def evaluate_run(
    folder: Folder,
    data: str | None = None,
    which: str | int | None = None,
    trusted: bool = False,
) -> Evaluated:
    """Evaluate a run's model in this process, in float32, with the job's objective and metrics.

    Args:
        folder: the run's folder.
        data: a path, URL or dataset with the columns of the training data; by default the
            validation and test samples of the job.
        which: ``best``, ``last`` or a step; by default best if the job monitors a metric.
        trusted: whether code that comes with the run may be executed, see ``rebuild``.

    Raises:
        InputError: no such checkpoint, no samples, or they do not have the job's columns.
        RunError: the run has no checkpoint, or the job's own data has changed since.
    """
    rebuilt, remarks = rebuilt_run(folder, which, trusted)
    tables = _held_out(rebuilt) if data is None else {"data": unseen(rebuilt, data)}
    evaluator = evaluator_of(rebuilt)
    metrics: dict[str, float] = {}
    for split, table in tables.items():
        metrics.update(evaluator(table, split))
    sizes = {split: len(table) for split, table in tables.items()}
    checkpoint = rebuilt.checkpoint
    return Evaluated(_name(folder), checkpoint.name, checkpoint.step, sizes, metrics, remarks)


def evaluator_of(rebuilt: Rebuilt, model: nn.Module | None = None) -> Evaluator:
    """Evaluates tables with a run's model, objective, metrics and strategies.

    Args:
        rebuilt: the run.
        model: measured in the place of the run's own, and so without its strategies; on the CPU.
    """
    job, assembly = rebuilt.job, rebuilt.assembly
    module, strategies = assembly.module, list(assembly.strategies.values())
    if model is not None:
        named = NamedModel(model, module.model.binding.bind, module.model.output_names)
        module, strategies = TrainModule(named, module.objective).train(model.training), []
    engine = LocalEngine(module, assembly.optimizer, EngineSettings())
    metrics = build_metrics(job, rebuilt.base, assembly.splits, torch.device("cpu"))
    return Evaluator(
        engine,
        assembly.terms,
        metrics,
        assembly.splits.transforms,
        batch_size_of(rebuilt),
        assembly.context,
        strategies,
        table_of=lambda split: getattr(rebuilt.splits, split),
    )


def batch_size_of(rebuilt: Rebuilt) -> int:
    """Samples per forward pass."""
    return rebuilt.job.training.evaluation_batch_size or rebuilt.assembly.plan.batch_size


def _held_out(rebuilt: Rebuilt) -> dict[str, Rows]:
    data = rebuilt.job.data
    if data.validation is None and data.test is None:
        message = "the run's job holds out no samples to evaluate"
        raise InputError(Problem("--data", message, mend="give a file, URL or dataset with --data"))
    splits = rebuilt.splits
    tables = {"validation": splits.validation, "test": splits.test}
    return {split: table for split, table in tables.items() if table is not None}


def _name(folder: Folder) -> str:
    return folder.url.rstrip("/").rsplit("/", 1)[-1]
