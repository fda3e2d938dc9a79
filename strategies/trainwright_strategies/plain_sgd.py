"""What methods need of a job that reckon with the optimizer's step: plain gradient descent."""

from __future__ import annotations

from trainwright.strategy import Plan

_OPTIONS = ("momentum", "weight_decay", "dampening", "nesterov", "maximize")


def refuse_other_steps(plan: Plan) -> None:
    """Only a plain gradient step moves the weights by rate times gradient.

    Raises:
        ValueError: the optimizer is another one, or something else changes its step.
    """
    if plan.optimizer_name.lower() != "sgd":
        raise ValueError(f"the optimizer must be plain SGD, got {plan.optimizer_name}")
    if given := [f"{n}: {plan.optimizer[n]}" for n in _OPTIONS if plan.optimizer.get(n)]:
        raise ValueError(f"the optimizer must be plain SGD, got {', '.join(given)}")
    if plan.max_grad_norm is not None:
        raise ValueError(
            f"training.max_grad_norm must be left out, got {plan.max_grad_norm}: a clipped "
            "gradient gives another step"
        )
