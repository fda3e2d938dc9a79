"""Which checks apply to a plugin, and on which engines, stages and numbers of workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainwright.testing import jobs, objectives, parts, strategies
from trainwright.testing.cases import Case
from trainwright.testing.check import Check, Function
from trainwright.testing.setups import LOCAL, Setup

_TRAINED = ("strategies", "objectives", "models")
"""Groups whose plugins take part in an update, so that engine, stage and workers matter."""


def checks_of(case: Case, full: bool = False) -> list[Check]:
    """The checks that a plugin must pass.

    Every plugin: it explains itself, trains and resumes bit for bit.

    Strategies besides: the neutral setting equals training without it, bit for bit; its options
    change training, or, for a probe, leave it alone bit for bit; its state survives; it gives the
    same losses in micro-batches; what it does not declare is refused.

    Objectives: the mean over samples is the loss; parts of a batch add up; the gradient is right
    in float64 and finite in bfloat16; the order of samples does not matter.

    Models: micro-batches and bfloat16. Datasets, transforms and schedules: they are functions of
    seed, epoch, sample and update alone.

    Args:
        case: the plugin and its settings.
        full: all declared engines, stages and one and two workers, rather than the local engine
            and the highest declared stage with two workers, on which only strategies, the ones
            with a state, are resumed as well.
    """
    setups = list(setups_of(case, full))
    main = setups[0]
    found = [Check(case, parts.explains_itself)]
    for setup in setups:
        found.append(Check(case, jobs.trains, setup))
        if full or setup == main or case.group == "strategies":
            found.append(Check(case, jobs.resumes, setup))
    found += [Check(case, function, main) for function in _once(case)]
    for setup in setups if full else [main]:
        found += [Check(case, function, setup) for function in _on_each(case)]
    return [check for check in found if check.name not in case.exempt]


def setups_of(case: Case, full: bool) -> Iterator[Setup]:
    """Where a case trains; the first is the quickest that is declared."""
    declares = case.declares
    if "local" in declares.engines:
        yield LOCAL
    if case.group not in _TRAINED or not case.stages:
        return
    if not full:
        yield Setup("deepspeed", max(case.stages), 2)
        return
    for stage in case.stages:
        yield Setup("deepspeed", stage, 1)
        yield Setup("deepspeed", stage, 2)


def _once(case: Case) -> Iterator[Function]:
    """Checks for which one setup is enough."""
    if case.group == "strategies":
        yield strategies.refuses
        yield strategies.keeps_its_state
    elif case.group == "objectives":
        yield from _named(objectives, objectives.applicable(case))
    elif case.group == "datasets":
        yield parts.loads_the_same
    elif case.group == "transforms":
        yield from (parts.treats_samples_alone, parts.evaluates_the_same)
        yield parts.keeps_what_it_learnt
    elif case.group == "schedules":
        yield parts.is_a_function_of_the_update
    if case.group in _TRAINED and "bf16" in case.declares.precisions:
        yield jobs.trains_in_bf16


def _on_each(case: Case) -> Iterator[Function]:
    """Checks whose outcome can depend on the setup."""
    if case.group in _TRAINED:
        yield jobs.accumulates
    if case.group != "strategies":
        return
    if case.declares.probe:
        yield strategies.leaves_the_trajectory
        return
    yield strategies.changes_training
    if case.declares.neutral is not None:
        yield strategies.is_neutral


def _named(module: object, names: Iterable[str]) -> Iterator[Function]:
    return (getattr(module, name) for name in names)
