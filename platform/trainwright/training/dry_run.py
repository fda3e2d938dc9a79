"""A forward pass over a handful of samples, before any cluster starts: do the parts fit?"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from trainwright.errors import JobError, Problem
from trainwright.objective import Missing, Term
from trainwright.strategy.compose import using, wrap_loss
from trainwright.suggest import nearest, one_of
from trainwright.training.assembly import Assembly
from trainwright.training.compute import ObjectiveCompute
from trainwright.training.coupled import coupled_compute
from trainwright.training.differentiation import moving_buffers
from trainwright.training.dry_evaluation import dry_evaluation
from trainwright.training.metrics import build_metrics, metric_names, monitored
from trainwright.training.monitored import Best

SAMPLES = 8


def dry_run(assembly: Assembly, base: Path) -> tuple[list[str], list[str], Best]:
    """Run model, objective, strategies and metrics once, on the CPU, in float32.

    Returns:
        Remarks for ``validate``: what will depend on the number of workers; the metrics that
        evaluation will give, as far as known; and the one that is monitored.

    Raises:
        JobError: something that the objective, the model or a metric needs is missing, or one of
            them fails on real samples.
    """
    splits = assembly.splits
    batch = first_samples(assembly)
    outputs = outputs_on(assembly, batch)
    problems = [
        problem
        for index, term in enumerate(assembly.terms)
        for problem in _term_problems(assembly, index, term, outputs, batch)
    ]
    if problems:
        raise JobError(problems)
    _begin(assembly)
    _loss(assembly, batch)
    metrics = build_metrics(assembly.job, base, splits, torch.device("cpu"))
    for metric in metrics:
        _metric(metric, outputs, batch)
    names, best = _evaluation(assembly, base)
    _wanted_metrics(assembly, names)
    return world_size_dependence(assembly), names, best


def _evaluation(assembly: Assembly, base: Path) -> tuple[list[str], Best]:
    is_evaluated = assembly.splits.validation is not None
    names = metric_names(assembly.terms, assembly.job) if is_evaluated else []
    further = dry_evaluation(assembly)
    return [*names, *further], monitored(assembly.job, base, names, further)


def first_samples(assembly: Assembly) -> Mapping[str, Tensor]:
    """A few training samples, as training sees them."""
    splits = assembly.splits
    rows = torch.arange(min(SAMPLES, len(splits.train)))
    return splits.transforms(splits.train.take(rows), 0, training=True)


def outputs_on(assembly: Assembly, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's outputs, as in evaluation.

    Raises:
        JobError: it lacks inputs, or fails.
    """
    model = assembly.module.model
    missing = model.binding.missing([], list(batch))
    if missing or model.binding.unknown:
        raise JobError(
            [
                *(_missing_problem("model", "inputs", "the model's forward", m) for m in missing),
                *(_unknown_bind("model.inputs", a, model.binding) for a in model.binding.unknown),
            ]
        )
    model.eval()
    try:
        with torch.no_grad():
            return model(batch)  # type: ignore[no-any-return]
    except Exception as error:  # the model is the user's code and may raise anything
        raise JobError(_failure("model", "the model fails on the first samples", error)) from error
    finally:
        model.train()


def _term_problems(
    assembly: Assembly,
    index: int,
    term: Term,
    outputs: Mapping[str, Tensor],
    batch: Mapping[str, Tensor],
) -> list[Problem]:
    path = f"objective.{index}" if isinstance(assembly.job.objective, list) else "objective"
    missing = term.missing(list(outputs), list(batch))
    problems = [_missing_problem(path, "bind", f"objective {term.name}", item) for item in missing]
    problems += [_unknown_bind(f"{path}.bind", name, term.binding) for name in term.binding.unknown]
    if problems:
        return problems
    try:
        with warnings.catch_warnings():
            # A target that broadcasts against the output trains on nonsense without an error.
            warnings.filterwarnings("error", message="Using a target size")
            loss = term(outputs, batch)
    except Exception as error:  # the objective is the user's code and may raise anything
        message = f"objective {term.name} fails on the first samples"
        return [_failure(path, message, error, _shapes(outputs, batch))]
    if not isinstance(loss.value, Tensor) or loss.value.numel() != 1:
        got = tuple(loss.value.shape) if isinstance(loss.value, Tensor) else loss.value
        return [Problem(path, f"objective {term.name} must return one number", got=got)]
    return []


def _begin(assembly: Assembly) -> None:
    """What strategies do before the first update and the first epoch."""
    try:
        for strategy in assembly.strategies.values():
            strategy.begin(assembly.context)
        if using(list(assembly.strategies.values()), "order"):
            assembly.orders(assembly.splits.train, 0)
    except Exception as error:  # strategies are the user's code and may raise anything
        raise JobError(_failure("strategies", "a strategy fails to begin", error)) from error


def _loss(assembly: Assembly, batch: Mapping[str, Tensor]) -> None:
    hooks = list(assembly.strategies.values())
    module, terms = assembly.module, assembly.terms
    compute = wrap_loss(hooks, ObjectiveCompute(module, terms))
    buffers = [(buffer, buffer.clone()) for _, _, buffer in moving_buffers(module)]
    try:
        if terms.couples == "batch":
            # In training the loss hooks see the outputs of the whole batch, computed before.
            compute = coupled_compute(module, terms, hooks, batch, module.model(batch))
        value = compute(batch).value
    except Exception as error:  # strategies are the user's code and may raise anything
        message = "the loss fails on the first samples once the strategies take part"
        raise JobError(_failure("strategies", message, error)) from error
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    if not value.requires_grad:
        raise JobError(
            Problem("objective", "the loss does not depend on anything that can be trained")
        )


def _metric(metric: Any, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a value over a handful of samples may well be undefined
        try:
            metric.update(outputs, batch)
        except JobError:
            raise
        except Exception as error:  # metrics can be the user's code and may raise anything
            message = f"metric {metric.name} fails on the first samples"
            problem = _failure("metrics", message, error, _shapes(outputs, batch))
            raise JobError(problem) from error


def _wanted_metrics(assembly: Assembly, names: Sequence[str]) -> None:
    problems = [
        Problem(
            path=f"strategies.{index}",
            message=f"{name} watches a metric that no evaluation gives",
            got=wanted,
            allowed=one_of(names) or "nothing: the job has no data.validation",
            nearest=nearest(wanted, names),
        )
        for index, (name, strategy) in enumerate(assembly.strategies.items())
        for wanted in strategy.needs_metrics()
        if wanted not in names
    ]
    if problems:
        raise JobError(problems)


def world_size_dependence(assembly: Assembly) -> list[str]:
    """What makes the losses of this job depend on the number of workers, in words.

    Where that number may change, the batches of evaluation are those for the most workers.
    """
    remarks = []
    modules: list[nn.Module] = list(assembly.module.modules())
    if any(isinstance(m, _BatchNorm) for m in modules):
        remarks.append("batch normalisation: its statistics are those of each worker's own share")
    if any(isinstance(m, _DropoutNd) and m.p > 0 for m in modules):
        remarks.append("dropout: each worker draws its own masks")
    elastic = assembly.job.cluster.is_elastic
    if assembly.terms.couples == "batch" and not elastic:
        remarks.append("the objective couples samples: evaluated over each worker's batches alone")
    remarks += [
        f"strategy {name}: its numbers change with the number of workers"
        for name, strategy in assembly.strategies.items()
        if strategy.declares.world_size_dependent
    ]
    moves = "; so losses move a little whenever workers come or go" if elastic else ""
    return [remark + moves for remark in remarks]


def _missing_problem(path: str, section: str, who: str, missing: Missing) -> Problem:
    have = one_of([*missing.outputs, *missing.columns])
    nearest = missing.nearest
    return Problem(
        path=f"{path}.{section}",
        message=f"{who} needs '{missing.wanted}', which neither the model nor the data gives"
        if missing.outputs
        else f"{who} needs '{missing.wanted}', which is not a column of the data",
        allowed=have,
        nearest=nearest,
        mend=f"bind it by name, e.g. {path}: {{{section}: "
        f"{{{missing.argument}: {nearest or (missing.outputs + missing.columns)[0]}}}}}",
    )


def _unknown_bind(path: str, name: str, binding: Any) -> Problem:
    names = [argument.name for argument in binding.arguments]
    return Problem(
        path=f"{path}.{name}",
        message="there is no such argument to bind",
        got=name,
        allowed=one_of(names),
        nearest=nearest(name, names),
    )


def _shapes(*named: Mapping[str, Tensor]) -> str:
    shown = [f"{name} {list(v.shape)}" for values in named for name, v in values.items()]
    return "it was given from: " + ", ".join(shown)


def _failure(path: str, message: str, error: Exception, mend: str | None = None) -> Problem:
    if "deterministic implementation" in str(error):
        mend = "use another operation, or set training.deterministic: false"
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return Problem(path, f"{message}: {type(error).__name__}: {error} ({where})", mend=mend)
