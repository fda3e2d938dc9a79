"""What strategies declare, held against a job: one small function for each rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainwright.errors import Problem
from trainwright.strategy.base import Strategy


@dataclass(frozen=True)
class Setting:
    """The parts of a job that strategies can be wrong for.

    Attributes:
        engine: ``deepspeed`` or ``local``.
        zero_stage: 0 to 3; meaningless for the local engine.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        has_per_sample: whether every objective has a per-sample form.
        unweightable: why the objective cannot weight samples; None where it can.
        is_compiled: whether the model is compiled by ``torch.compile``.
    """

    engine: str
    zero_stage: int
    precision: str
    has_per_sample: bool
    unweightable: str | None = None
    is_compiled: bool = False


Rule = Callable[[str, str, Strategy, Setting], "Problem | None"]


def engine_is_allowed(path: str, name: str, strategy: Strategy, setting: Setting) -> Problem | None:
    """The strategy must be right on the job's engine."""
    allowed = strategy.declares.engines
    if setting.engine in allowed:
        return None
    return Problem(
        path=path,
        message=f"{name} does not work on this engine",
        got=f"engine: {setting.engine}",
        allowed=", ".join(f"engine: {engine}" for engine in allowed),
    )


def stage_is_allowed(path: str, name: str, strategy: Strategy, setting: Setting) -> Problem | None:
    """The strategy must be right at the job's ZeRO stage."""
    allowed = strategy.declares.zero_stages
    if setting.engine != "deepspeed" or setting.zero_stage in allowed:
        return None
    return Problem(
        path=path,
        message=f"{name} does not work at this ZeRO stage",
        got=f"deepspeed.zero_optimization.stage: {setting.zero_stage}",
        allowed=", ".join(str(stage) for stage in allowed),
    )


def precision_is_allowed(
    path: str, name: str, strategy: Strategy, setting: Setting
) -> Problem | None:
    """The strategy must be right in the job's number format."""
    allowed = strategy.declares.precisions
    if setting.precision in allowed:
        return None
    return Problem(
        path=path,
        message=f"{name} does not work in this precision",
        got=f"training.precision: {setting.precision}",
        allowed=", ".join(allowed),
    )


def per_sample_is_possible(
    path: str, name: str, strategy: Strategy, setting: Setting
) -> Problem | None:
    """A strategy that weighs single samples needs an objective that gives single losses."""
    if not strategy.declares.per_sample or setting.has_per_sample:
        return None
    return Problem(
        path=path,
        message=f"{name} needs the loss of each sample, which the objective does not give",
        mend='use an objective that takes reduction="none", as every torch.nn loss does',
    )


def second_backward_is_possible(
    path: str, name: str, strategy: Strategy, setting: Setting
) -> Problem | None:
    """Stage 3 frees parameters after a backward pass, so that none can go through it again."""
    if not strategy.declares.second_backward:
        return None
    if setting.is_compiled:
        return Problem(
            path=path,
            message=f"{name} differentiates gradients, which those of a compiled model do not "
            "allow",
            mend="leave out training.compile",
        )
    if setting.engine != "deepspeed" or setting.zero_stage != 3:
        return None
    return Problem(
        path=path,
        message=f"{name} differentiates gradients, for which ZeRO stage 3 keeps no parameters",
        got="deepspeed.zero_optimization.stage: 3",
        allowed="0, 1, 2",
    )


def weights_are_possible(
    path: str, name: str, strategy: Strategy, setting: Setting
) -> Problem | None:
    """A strategy that weights samples needs a mean over samples."""
    if not strategy.declares.sample_weights or setting.unweightable is None:
        return None
    return Problem(
        path=path,
        message=f"{name} weights samples, and {setting.unweightable}",
        mend='use an objective that averages over samples and takes reduction="none", '
        "as most torch.nn losses do",
    )


RULES: tuple[Rule, ...] = (
    engine_is_allowed,
    stage_is_allowed,
    precision_is_allowed,
    per_sample_is_possible,
    second_backward_is_possible,
    weights_are_possible,
)


def conflicts(strategies: Mapping[str, Strategy]) -> list[Problem]:
    """Pairs of strategies that cannot stand in one job."""
    names = list(strategies)
    return [
        Problem(
            path=f"strategies.{names.index(name)}",
            message=f"{name} and {other} cannot be combined: {reason}",
            mend=f"leave out {name} or {other}",
        )
        for name, strategy in strategies.items()
        for other, reason in strategy.declares.conflicts.items()
        if other in strategies
    ]


def check_strategies(strategies: Mapping[str, Strategy], setting: Setting) -> list[Problem]:
    """Every declared need that the job does not meet."""
    found = [
        rule(f"strategies.{index}", name, strategy, setting)
        for index, (name, strategy) in enumerate(strategies.items())
        for rule in RULES
    ]
    return [problem for problem in found if problem is not None] + conflicts(strategies)
