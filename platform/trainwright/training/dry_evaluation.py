"""The strategies' ways to predict and to evaluate, tried on a few samples before training."""

from __future__ import annotations

import torch

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
    table = assembly.splits.validation
    if table is None or not (using(hooks, "predict") or using(hooks, "evaluate")):
        return []
    few = table.subset(torch.arange(min(SAMPLES, len(table))))
    engine = LocalEngine(assembly.module, assembly.optimizer, EngineSettings())
    plain = Evaluator(engine, assembly.terms, [], assembly.splits.transforms, SAMPLES)
    known = plain(few, "validation")
    evaluator = Evaluator(engine, assembly.terms, [], assembly.splits.transforms, SAMPLES, hooks)
    try:
        return [name for name in evaluator(few, "validation") if name not in known]
    except InputError:
        raise
    except Exception as error:  # strategies are the user's code and may raise anything
        message = "the strategies' evaluation fails on the first samples"
        problem = Problem("strategies", f"{message}: {type(error).__name__}: {error}")
        raise JobError(problem) from error
