"""Small strategies and objectives that order, choose and weight samples, for jobs in tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainwright.strategy import (
    Batch,
    Compute,
    Context,
    Declares,
    Loss,
    Order,
    Step,
    Strategy,
)


class SameClass(nn.Module):
    """Embeddings of one class must be more alike than others, over the whole batch."""

    couples = "batch"

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(7, 3)

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        rows = nn.functional.normalize(self.project(embedding))
        alike = (rows @ rows.T).fill_diagonal_(-1e4).log_softmax(dim=1)
        same = (target[:, None] == target).float().fill_diagonal_(0)
        return -(alike * same).sum(1).div(same.sum(1).clamp(min=1)).mean()


class ImportanceSampling(Strategy):
    """Draw samples in proportion to their last loss, and weight them back to the plain mean.

    Args:
        floor: added to every loss, so that each sample can be drawn; above 0.
    """

    declares = Declares(per_sample=True, sample_weights=True)

    def __init__(self, floor: float = 0.1) -> None:
        self.floor = floor

    def begin(self, context: Context) -> None:
        self.context = context
        self.losses = context.table("loss", init=1.0)

    def order(self, epoch: int, order: Order) -> Order:
        chances = self.losses[torch.from_numpy(order.sample_ids)] + self.floor
        chances = chances / chances.sum()
        drawn = torch.multinomial(
            chances, len(chances), replacement=True, generator=self.context.rng("importance")
        )
        return order.replaced(drawn, 1.0 / (len(chances) * chances[drawn]))

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        outputs = compute.forward(batch)
        self.losses.put(batch["sample_id"], compute.per_sample(batch, outputs))
        return compute(batch, outputs)


class HardHalf(Strategy):
    """Train on the samples of each micro-batch whose loss is at least the mean of the batch."""

    declares = Declares(per_sample=True)

    def batch(self, step: Step, batch: Batch, score: Callable[[Batch], Tensor]) -> Batch:
        losses = score(batch)
        hard = losses >= losses.mean()
        return {name: values[hard] for name, values in batch.items()}


class Weighting(Strategy):
    """Weight each sample by a number of its own, from ``batch``."""

    declares = Declares(sample_weights=True)

    def begin(self, context: Context) -> None:
        self.context = context

    def batch(self, step: Step, batch: Batch, score: Callable[[Batch], Tensor]) -> Batch:
        weights = self.context.rng("weight", "sample", batch["sample_id"]).uniform()
        return {**batch, "sample_weight": 2 * weights}


class Undeclared(Weighting):
    """Weights samples and does not say so."""

    declares = Declares()


class OwnOrder(Strategy):
    """An order that differs between workers, or cannot be trained on.

    Args:
        fault: what is wrong with it.
    """

    declares = Declares(sample_weights=True)

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def begin(self, context: Context) -> None:
        self.context = context

    def order(self, epoch: int, order: Order) -> Order:
        if self.fault == "short":
            return order.replaced(order.indices[1:])
        if self.fault == "beyond":
            return order.replaced(order.indices + 1)
        if self.fault == "nan":
            return order.replaced(order.indices, [float("nan")] * len(order.indices))
        return order.replaced(order.indices[:: 1 - 2 * self.context.rank])
