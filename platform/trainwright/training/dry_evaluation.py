"""The strategies' ways to predict and to evaluate, tried on a few samples before training."""

from __future__ import annotations

from functools import partial

import torch

from trainwright.data.rows import Rows
from trainwright.data.table import Table
from trainwright.engine import EngineSettings
from trainwright.engine.local import LocalEngine
from trainwright.errors import InputError, JobError, Problem
from trainwright.strategy.compose import using
from trainwright.training.assembly import Assembly
from trainwright.training.evaluate import Evaluator

SAMPLES = 8


def dry_evaluation(assembly: Assembly) -> list[str]:
    """Evaluate a few samples of the validation split with the strategies' hooks.

    Returns:
        Names of the metrics that strategies give, ``validation/<name>``.

    Raises:
        JobError: a hook fails.
    """
    hooks = list(assembly.strategies.values())
    few = _few(assembly.splits.validation)
    if few is None or not (using(hooks, "predict") or using(hooks, "evaluate")):
        return []
    engine = LocalEngine(assembly.module, assembly.optimizer, EngineSettings())
    evaluator_with = partial(
        Evaluator, engine, assembly.terms, [], assembly.splits.transforms, SAMPLES, assembly.context
    )
    known = evaluator_with()(few, "validation")
    evaluator = evaluator_with(
        hooks,
        table_of=lambda split: _few(getattr(assembly.splits, split)),
    )
    try:
        return [name for name in evaluator(few, "validation") if name not in known]
    except InputError:
        raise
    except Exception as error:  # strategies are the user's code and may raise anything
        message = "the strategies' evaluation fails on the first samples"
        problem = Problem("strategies", f"{message}: {type(error).__name__}: {error}")
        raise JobError(problem) from error


def _few(table: Rows | None) -> Table | None:
    """The first samples of a split, where there is one."""
    return None if table is None else table.subset(torch.arange(min(SAMPLES, len(table))))
