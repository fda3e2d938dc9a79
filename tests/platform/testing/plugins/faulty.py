"""Plugins with one fault each, which the checks must find."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.data.table import Table
from trainwright.strategy import Batch, Compute, Context, Declares, Loss, Step, Strategy


class _Documented(Strategy):
    """Scale the loss.

    Args:
        strength: 0 changes nothing.
    """

    declares = Declares(neutral={"strength": 0.0})

    def __init__(self, strength: float = 0.5) -> None:
        self.strength = strength


class Sound(_Documented):
    """Scale the loss, without a fault.

    Args:
        strength: 0 changes nothing.
    """

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        loss = compute(batch)
        return Loss(loss.value * (1 + self.strength), loss.logged)


class NearlyNeutral(_Documented):
    """Scale the loss, a little even at 0.

    Args:
        strength: 0 should change nothing.
    """

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        loss = compute(batch)
        return Loss(loss.value * (1 + 1e-6 + self.strength), loss.logged)


class Forgetful(_Documented):
    """Scale the loss with the number of updates, which a resumed run does not know.

    Args:
        strength: 0 changes nothing.
    """

    def __init__(self, strength: float = 0.5) -> None:
        super().__init__(strength)
        self.updates = 0

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        return Loss(compute(batch).value * (1 + self.strength * self.updates))

    def updated(self, step: Step) -> None:
        self.updates += 1


class Amnesiac(Forgetful):
    """Keep the number of updates, and not take it back.

    Args:
        strength: 0 changes nothing.
    """

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates}


class Placebo(_Documented):
    """Promise everything, do nothing.

    Args:
        strength: of belief.
    """


class OwnNoise(_Documented):
    """Noise per worker and micro-batch, not declared.

    Args:
        strength: 0 changes nothing.
    """

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        if self.strength == 0:
            return compute(batch)
        rows = len(next(iter(batch.values())))
        return Loss(compute(batch).value * (1 + self.strength * torch.rand(rows)[0]))


class Unexplained(Strategy):
    """Scale the loss."""

    def __init__(self, strength=0.5, power: float = 1.0) -> None:
        self.strength = strength

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        return Loss(compute(batch).value * (1 + self.strength))


class StageOneOnly(_Documented):
    """Scale the loss, where only stage 1 is declared.

    Args:
        strength: 0 changes nothing.
    """

    declares = Declares(engines=("deepspeed",), zero_stages=(1,), precisions=("fp32",))

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        return Loss(compute(batch).value * (1 + self.strength))


class Meddler(Strategy):
    """A probe that draws from the generator of the model's dropout."""

    declares = Declares(probe=True)

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        self.context = context
        return model

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        self.context.log({"noise": torch.rand(())})
        return compute(batch)


class Silent(Strategy):
    """A probe that measures nothing."""

    declares = Declares(probe=True)


class WrongGradient(nn.Module):
    """A squared error whose gradient is that of something else."""

    reduction = "mean"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        error = logits - target
        losses = (error * error.detach()).mean(dim=1)
        return losses if self.reduction == "none" else losses.mean()


class Summed(nn.Module):
    """A squared error that adds up where it says that it averages."""

    reduction = "mean"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        losses = (logits - target).square().mean(dim=1)
        return losses if self.reduction == "none" else losses.sum()


class Overflowing(nn.Module):
    """A loss that takes the logarithm of what half precision rounds to 0."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return -((1 - logits.sigmoid() * 1e-4).reciprocal() - 1).log().mean() + 0 * target.mean()


class Ordered(nn.Module):
    """A loss that weighs samples by their place in the batch."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        weights = torch.arange(1.0, len(logits) + 1).to(logits)
        return (weights * (logits - target).square().mean(dim=1)).mean()


class BatchNoise:
    """Noise that depends on the place in the batch."""

    def __call__(self, batch: dict[str, Tensor], context: Any) -> dict[str, Tensor]:
        noise = torch.arange(len(batch["features"]), dtype=torch.float32)[:, None]
        return {**batch, "features": batch["features"] + noise}


class EpochNoise:
    """Noise of the epoch, in evaluation too."""

    def __call__(self, batch: dict[str, Tensor], context: Any) -> dict[str, Tensor]:
        return {**batch, "features": batch["features"] + context.epoch}


class Unlearning:
    """A centring that does not take its mean back."""

    def fit(self, table: Table) -> None:
        self.mean = table.tensors["features"].mean(dim=0)

    def __call__(self, batch: dict[str, Tensor], context: Any) -> dict[str, Tensor]:
        return {**batch, "features": batch["features"] - self.mean}

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Forget."""


class Counting:
    """A schedule that counts its calls."""

    def bind(self, total_steps: int, steps_per_epoch: int) -> Any:
        calls = 0

        def factor(step: int) -> float:
            nonlocal calls
            calls += 1
            return 1.0 / calls

        return factor


class Negative:
    """A schedule that ends below 0."""

    def bind(self, total_steps: int, steps_per_epoch: int) -> Any:
        return lambda step: 1.0 - 2.0 * step / total_steps


def fresh_numbers() -> Table:
    """Other numbers at every load."""
    features = torch.tensor([[random.random()] for _ in range(48)])
    target = torch.arange(48) % 2
    return Table.from_arrays(
        {"features": features, "target": target}, {"features": "vector", "target": "class"}
    )
