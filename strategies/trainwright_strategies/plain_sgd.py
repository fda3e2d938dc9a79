"""What methods need of a job that reckon with the optimizer's step: plain gradient descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainwright.strategy import Plan

_OPTIONS = ("momentum", "weight_decay", "dampening", "nesterov", "maximize")


def other_than_sgd(
    name: str, options: Mapping[str, Any], refused: Sequence[str] = _OPTIONS
) -> str | None:
    """In what an optimizer differs from SGD without some options; None: in nothing.

    Args:
        name: of the optimizer.
        options: that the job gives it.
        refused: options that make the difference where they are given and not 0.
    """
    if name.lower() != "sgd":
        return name
    return ", ".join(f"{n}: {options[n]}" for n in refused if options.get(n)) or None


def refuse_other_steps(plan: Plan) -> None:
    """Only a plain gradient step moves the weights by rate times gradient.

    Raises:
        ValueError: the optimizer is another one, or something else changes its step.
    """
    if other := other_than_sgd(plan.optimizer_name, plan.optimizer):
        raise ValueError(f"the optimizer must be plain SGD, got {other}")
    if plan.max_grad_norm is not None:
        raise ValueError(
            f"training.max_grad_norm must be left out, got {plan.max_grad_norm}: a clipped "
            "gradient gives another step"
        )
