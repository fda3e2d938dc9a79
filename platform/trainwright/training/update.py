"""One update of the weights: shares of the global mean, forward, backward, hooks, move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainwright.engine.base import Engine
from trainwright.objective import Share, WeightedSum
from trainwright.strategy import Batch, Loss, Step, Strategy
from trainwright.strategy.compose import using, wrap_loss, wrap_step
from trainwright.training.collectives import sum_over_workers
from trainwright.training.compute import ObjectiveCompute
from trainwright.training.feed import Update


class EngineGradients:
    """The ``gradients`` hook's view of an engine's reduced gradient."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def names(self) -> Sequence[str]:
        """Names of the trainable parameters."""
        return self._engine.trainable()

    def __getitem__(self, name: str) -> Tensor:
        return self._engine.gradient(name)

    def __setitem__(self, name: str, value: Tensor) -> None:
        self._engine.set_gradient(name, value)

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Name and full gradient of each trainable parameter in turn."""
        for name in self.names():
            yield name, self[name]


class Updater:
    """Runs updates: the innermost part of the loop.

    Args:
        engine: what moves.
        terms: the objective's terms.
        strategies: in job order.
    """

    def __init__(self, engine: Engine, terms: WeightedSum, strategies: Sequence[Strategy]) -> None:
        self._engine = engine
        self._terms = terms
        self._strategies = strategies
        self._gradient_hooks = using(strategies, "gradients")
        self._updated_hooks = using(strategies, "updated")
        self._innermost = ObjectiveCompute(engine.module, terms)
        self._compute = wrap_loss(strategies, self._innermost)
        self._gradients = EngineGradients(engine)
        self._sums: dict[str, Tensor | float] = {}

    def __call__(self, update: Update, rates: Sequence[float]) -> dict[str, Tensor | float]:
        """Run one update.

        Returns:
            This worker's parts of the global loss and of its logged terms; summed over the
            workers they are means over the global batch.
        """
        engine = self._engine
        batches = [engine.place(batch) for batch in update.batches]
        shares = self._shares(batches, update.size)
        step = Step(update.index, update.epoch, batches, rates, engine.module.model)
        self._sums = {}

        def take() -> None:
            self._sums = {}
            last = len(batches) - 1
            for position, (batch, part) in enumerate(zip(batches, shares, strict=True)):
                self._backward(batch, part, position == last)
            if self._gradient_hooks:
                step.gradients = self._gradients
                for strategy in self._gradient_hooks:
                    strategy.gradients(step)
                step.gradients = None
            engine.update()

        wrap_step(self._strategies, step, take)()
        for strategy in self._updated_hooks:
            strategy.updated(step)
        return self._sums

    def _backward(self, batch: Batch, part: Share, last: bool) -> None:
        engine = self._engine
        self._innermost.share = part
        # Not as an argument: at stage 3 DeepSpeed would wrap each tensor of the batch.
        value, logged = engine.module(partial(self._loss, batch))
        factor = part.samples * engine.settings.world_size
        engine.backward(value if factor == 1.0 else value * factor, last)
        self._add("train/loss", value, part.samples)
        for name, scalar in logged.items():
            self._add(f"train/{name}", scalar, part.samples)

    def _loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss: Loss = self._compute(batch)
        return loss.value, loss.logged

    def _add(self, name: str, value: Any, weight: float) -> None:
        value = value.detach() if isinstance(value, Tensor) else value
        weighted = value * weight
        self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted

    def _shares(self, batches: Sequence[Batch], size: int) -> list[Share]:
        samples = [len(next(iter(batch.values()))) / size for batch in batches]
        if not self._terms.needs_counts:
            return [Share(part) for part in samples]
        counts = torch.stack([self._terms.count(batch) for batch in batches])
        total = sum_over_workers(counts.sum(dim=0), self._engine.settings.device)
        ratios = counts / total.clamp(min=torch.finfo(torch.float64).tiny)
        return [Share(part, ratio) for part, ratio in zip(samples, ratios, strict=True)]
