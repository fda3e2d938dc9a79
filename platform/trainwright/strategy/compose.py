"""How several strategies act as one: small functions, one for each kind of hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from trainwright.strategy.base import (
    Batch,
    Compute,
    Loss,
    Outputs,
    ParameterGroup,
    Strategy,
    overrides,
)
from trainwright.strategy.context import Context
from trainwright.strategy.plan import Plan
from trainwright.strategy.step import LossFunction, Step


def apply_plan(strategies: Sequence[Strategy], plan: Plan) -> Plan:
    """Each strategy in job order changes the plan left by the one before."""
    for strategy in strategies:
        plan = strategy.plan(plan)
    return plan


def apply_model(strategies: Sequence[Strategy], model: nn.Module, context: Context) -> nn.Module:
    """Model surgery in job order."""
    for strategy in strategies:
        model = strategy.model(model, context)
    return model


def apply_objective(strategies: Sequence[Strategy], objective: nn.Module) -> nn.Module:
    """Objective surgery in reverse job order, so that the first strategy's wrapper is outermost."""
    for strategy in reversed(strategies):
        objective = strategy.objective(objective)
    return objective


def apply_parameters(
    strategies: Sequence[Strategy], groups: list[ParameterGroup]
) -> list[ParameterGroup]:
    """Parameter groups in job order."""
    for strategy in strategies:
        groups = strategy.parameters(groups)
    return groups


def wrap_step(
    strategies: Sequence[Strategy], step: Step, take: Callable[[], None]
) -> Callable[[], None]:
    """``take`` with every ``step`` hook around it; the first strategy is outermost."""
    for strategy in reversed(strategies):
        if overrides(strategy, "step"):
            take = partial(strategy.step, step, take)
    return take


class _Layer:
    """``compute`` as the strategies outside of one strategy see it."""

    def __init__(self, strategy: Strategy, inner: Compute) -> None:
        self._strategy = strategy
        self._inner = inner
        self.couples = inner.couples

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        inner = self._inner if outputs is None else _Given(self._inner, outputs)
        return self._strategy.loss(batch, inner)

    def forward(self, batch: Batch) -> Outputs:
        return self._inner.forward(batch)

    def per_sample(self, batch: Batch, outputs: Outputs | None = None) -> Tensor:
        inner = self._inner if outputs is None else _Given(self._inner, outputs)
        return self._strategy.per_sample(batch, inner)

    def input_gradient(
        self, batch: Batch, columns: Sequence[str], loss: LossFunction | None = None
    ) -> dict[str, Tensor]:
        return self._inner.input_gradient(batch, columns, loss)


class _Given:
    """A compute whose forward pass has already been run by a strategy further out."""

    def __init__(self, inner: Compute, outputs: Outputs) -> None:
        self._inner = inner
        self._outputs = outputs
        self.couples = inner.couples

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        return self._inner(batch, self._outputs if outputs is None else outputs)

    def forward(self, batch: Batch) -> Outputs:
        return self._outputs

    def per_sample(self, batch: Batch, outputs: Outputs | None = None) -> Tensor:
        return self._inner.per_sample(batch, self._outputs if outputs is None else outputs)

    def input_gradient(
        self, batch: Batch, columns: Sequence[str], loss: LossFunction | None = None
    ) -> dict[str, Tensor]:
        return self._inner.input_gradient(batch, columns, loss)


def wrap_loss(strategies: Sequence[Strategy], compute: Compute) -> Compute:
    """``compute`` with ``loss`` and ``per_sample`` hooks around it; the first is outermost."""
    for strategy in reversed(strategies):
        if overrides(strategy, "loss") or overrides(strategy, "per_sample"):
            compute = _Layer(strategy, compute)
    return compute


def using(strategies: Sequence[Strategy], hook: str) -> list[Strategy]:
    """The strategies that override ``hook``, in job order."""
    return [strategy for strategy in strategies if overrides(strategy, hook)]
