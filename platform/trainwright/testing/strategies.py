"""Checks of a strategy: what it declares holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from trainwright.data.loading import load_splits
from trainwright.errors import InputError
from trainwright.strategy import Context, Strategy
from trainwright.strategy.checks import Setting, check_strategies
from trainwright.testing.cases import Case, stages_of
from trainwright.testing.check import nothing_of
from trainwright.testing.jobs import whole_run
from trainwright.testing.rig import Rig
from trainwright.testing.setups import Setup
from trainwright.testing.trace import Trace, differences, same
from trainwright.training.assembly import Assembly, assemble


def plain_run(case: Case, rig: Rig, setup: Setup) -> Trace:
    """The case's job without the strategy."""
    return rig.train(case.job_without(), setup, case.base)


def is_neutral(case: Case, rig: Rig, setup: Setup) -> None:
    """At the declared neutral setting training equals training without it, bit for bit."""
    neutral = {**case.options, **(case.declares.neutral or {})}
    with_it = rig.train(case.job_with(neutral), setup, case.base)
    found = differences(plain_run(case, rig, setup), with_it)
    nothing_of(found, f"with the neutral setting {neutral} training differs")


def changes_training(case: Case, rig: Rig, setup: Setup) -> None:
    """With the case's options training differs from training without it: no placebo."""
    plain, with_it = plain_run(case, rig, setup), whole_run(case, rig, setup)
    if next(differences(plain, with_it, only_known=True), None) is None:
        raise AssertionError(f"with {dict(case.options)} nothing differs from training without it")


def leaves_the_trajectory(case: Case, rig: Rig, setup: Setup) -> None:
    """A probe measures: all that training gives without it is there, bit for bit, and more."""
    plain, with_it = plain_run(case, rig, setup), whole_run(case, rig, setup)
    nothing_of(differences(plain, with_it, only_known=True), "the probe changes training")
    if not with_it.metrics.keys() - plain.metrics.keys():
        raise AssertionError("the probe records nothing")


def keeps_its_state(case: Case, rig: Rig, setup: Setup) -> None:
    """State that a new strategy takes from a checkpoint is what it gives back."""
    saved = whole_run(case, rig, setup).strategies[case.name]
    strategy = _assembled(case, rig, setup).strategies[case.name]
    strategy.load_state_dict(saved)
    if not same(saved, strategy.state_dict()):
        raise AssertionError(f"state_dict gives back another state than it took: {_keys(saved)}")


def refuses(case: Case, rig: Rig, setup: Setup) -> None:
    """Engines, stages, precisions and objectives outside its declarations are refused."""
    strategy = _assembled(case, rig, setup).strategies[case.name]
    nothing_of(_wrongly_judged(case.name, strategy), "declarations and checks disagree")
    for setup_refused in _undeclared(strategy):
        _is_refused(case, rig, setup_refused)


def _wrongly_judged(name: str, strategy: Strategy) -> Iterator[str]:
    declares = strategy.declares
    every: Iterator[tuple[Any, ...]] = itertools.product(
        ("deepspeed", "local"), (0, 1, 2, 3), ("fp32", "bf16", "fp16"), (True, False)
    )
    for engine, stage, precision, per_sample in every:
        allowed = (
            engine in declares.engines
            and (engine == "local" or stage in stages_of(declares))
            and precision in declares.precisions
            and (per_sample or not declares.per_sample)
        )
        setting = Setting(engine, stage, precision, per_sample)
        if bool(check_strategies({name: strategy}, setting)) == allowed:
            yield f"{setting} is {'refused' if allowed else 'accepted'}"


def _undeclared(strategy: Strategy) -> Iterator[Setup]:
    declares = strategy.declares
    if "local" not in declares.engines:
        yield Setup()
    for stage in (0, 1, 2, 3):
        if stage not in stages_of(declares):
            yield Setup("deepspeed", stage, 1)


def _is_refused(case: Case, rig: Rig, setup: Setup) -> None:
    try:
        rig.prepare(case.job_with(case.options), setup, case.base)
    except InputError as error:
        if not any(problem.path.startswith("strategies") for problem in error.problems):
            raise
        return
    raise AssertionError(f"a job on {setup} is accepted, which the strategy does not declare")


def _assembled(case: Case, rig: Rig, setup: Setup) -> Assembly:
    job = rig.job(case.job_with(case.options), setup, case.base)
    splits = load_splits(job.spec.data, base=job.base, workers=setup.workers, seed=job.spec.seed)
    return assemble(job.spec, job.base, splits, Context(seed=job.spec.seed))


def _keys(state: Mapping[str, Any]) -> str:
    return ", ".join(state) or "nothing"
