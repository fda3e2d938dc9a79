"""A plain PyTorch stand-in for the engine, so that strategies are tested without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Compute, Context, Loss, Strategy
from trainwright.strategy.compose import apply_model, apply_objective, wrap_loss
from trainwright.strategy.step import LossFunction
from trainwright.strategy.tables import SampleTables
from trainwright.training.differentiation import input_gradient


class PlainCompute:
    """Model and objective called as the engine calls them, on the column ``x``."""

    def __init__(self, model: nn.Module, objective: nn.Module) -> None:
        self.model = model
        self.objective = objective
        self.couples = objective.couples
        self.forwards = 0
        self.losses = 0

    def forward(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self.forwards += 1
        outputs = self.model(batch["x"])
        return {"logits": outputs} if isinstance(outputs, Tensor) else outputs

    def __call__(
        self, batch: Mapping[str, Tensor], outputs: Mapping[str, Tensor] | None = None
    ) -> Loss:
        self.losses += 1
        return self.objective(self.forward(batch) if outputs is None else outputs, batch)

    def per_sample(
        self, batch: Mapping[str, Tensor], outputs: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        return self.objective.per_sample(self.forward(batch) if outputs is None else outputs, batch)

    def input_gradient(
        self,
        batch: Mapping[str, Tensor],
        columns: Sequence[str],
        loss: LossFunction | None = None,
    ) -> dict[str, Tensor]:
        return input_gradient(loss or self, batch, columns)


class Training:
    """A model with strategies around it: what the platform builds, in one process."""

    def __init__(
        self,
        model: nn.Module,
        objective: nn.Module | list[nn.Module],
        *strategies: Strategy,
        num_samples: int = 0,
    ) -> None:
        objectives = objective if isinstance(objective, list) else [objective]
        terms = [Term(o, f"objective{i}") for i, o in enumerate(objectives)]
        self.context = Context(seed=0)
        self.model = apply_model(strategies, model, self.context)
        self.objective = apply_objective(strategies, WeightedSum(terms))
        self.plain = PlainCompute(self.model, self.objective)
        self.compute: Compute = wrap_loss(strategies, self.plain)
        self.context.tables = SampleTables(num_samples, torch.device("cpu"))
        for strategy in strategies:
            strategy.begin(self.context)

    def gradient(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of ``batch`` and a copy of the gradient of every parameter."""
        self.model.zero_grad()
        value = self.compute(batch).value
        value.backward()
        grads = {n: p.grad.clone() for n, p in self.model.named_parameters() if p.grad is not None}
        return value.detach(), grads


@pytest.fixture(name="training")
def _training() -> Callable[..., Training]:
    return Training


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
