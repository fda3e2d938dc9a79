"""Networks as the strategy mup leaves them, for its tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from trainwright.models import GPT
from trainwright.strategy import Context, Plan
from trainwright_strategies.mup import Mup

LR = 0.001
_OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def plan_of(optimizer: str = "sgd", **options: Any) -> Plan:
    return Plan(None, 1, 8, None, {"lr": LR, **options}, {}, optimizer)


def prepared(
    method: Mup, model: nn.Module, optimizer: str = "sgd", rate: float = LR
) -> tuple[Any, torch.optim.Optimizer]:
    """The model as the strategy leaves it, and an optimizer of its groups."""
    method.plan(plan_of(optimizer, lr=rate))
    model = method.model(model, Context(seed=0))
    groups = method.parameters([{"params": list(model.named_parameters())}])
    bare = [{**group, "params": [p for _, p in group["params"]]} for group in groups]
    return model, _OPTIMIZERS[optimizer](bare, lr=rate)


def decoder(dim: int = 16, depth: int = 2, heads: int = 2, tied: bool = False) -> GPT:
    return GPT(11, 6, dim, depth, heads, tie_embeddings=tied)
