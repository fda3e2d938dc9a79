"""A fresh optimizer inside an engine that exists already, at every ZeRO stage."""

from __future__ import annotations

import torch
from torch import Tensor

from trainwright.engine.base import Engine


def restart_optimizer(engine: Engine, fresh: torch.optim.Optimizer) -> None:
    """Forget the optimizer's state in place and take over the options of each group.

    Torch optimizers make their state when they first meet a parameter without any; DeepSpeed's
    wrappers keep none of their own. Weights, gradients and the loss scale are not touched.

    Args:
        engine: whose optimizer begins anew.
        fresh: an optimizer of the same class that has not moved anything, with one small
            parameter in each of the same groups.
    """
    state = engine.optimizer.state
    owners = list(state)
    state.clear()
    for group, new in zip(engine.param_groups, fresh.param_groups, strict=True):
        group.update({key: value for key, value in new.items() if key != "params"})
    for placeholder, initial in list(fresh.state.items())[:1]:
        # Some (Adagrad) make theirs at construction: constants, in the shape of the parameter.
        for owner in owners:
            state[owner] = {
                kind: _like(value, placeholder, owner) for kind, value in initial.items()
            }


def _like(value: object, placeholder: Tensor, owner: Tensor) -> object:
    if not isinstance(value, Tensor):
        return value
    if value.shape != placeholder.shape:
        return value.clone()
    return torch.full_like(owner, float(value.flatten()[0]), requires_grad=False)
