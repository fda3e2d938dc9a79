"""The strategies' ``batch`` hooks: micro-batches chosen or completed before an update."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from trainwright.collectives import sum_over_workers
from trainwright.engine.base import Engine
from trainwright.errors import RunError
from trainwright.strategy import Batch, Compute, Step, Strategy
from trainwright.strategy.compose import using
from trainwright.strategy.order import SAMPLE_WEIGHT
from trainwright.training.differentiation import kept_buffers
from trainwright.training.randomness import same_draws


class BatchHooks:
    """Asks the strategies for the micro-batches to train on.

    Args:
        engine: whose model is scored.
        compute: the loss with all strategies around it.
        strategies: in job order; each sees the batch left by the one before.
    """

    def __init__(self, engine: Engine, compute: Compute, strategies: Sequence[Strategy]) -> None:
        self._engine = engine
        self._compute = compute
        self._hooks = using(strategies, "batch")

    def __call__(
        self, step: Step, batches: list[dict[str, Tensor]], size: int
    ) -> tuple[list[Batch], int]:
        """The batches to train on, and how many samples they hold over all workers.

        Args:
            step: the update.
            batches: this worker's micro-batches from the data.
            size: their samples over all workers.

        Raises:
            RunError: a strategy gave an empty or uneven batch, or undeclared weights.
        """
        if not self._hooks:
            return list(batches), size
        chosen: list[Batch] = list(batches)
        for strategy in self._hooks:
            chosen = [self._ask(strategy, step, batch) for batch in chosen]
        own = float(sum(_rows(batch) for batch in chosen))
        total = sum_over_workers(torch.tensor([own]), self._engine.settings.device)
        return chosen, int(total)

    def _ask(self, strategy: Strategy, step: Step, batch: Batch) -> Batch:
        given = strategy.batch(step, batch, self.score)
        name = type(strategy).__name__
        sizes = {column: len(values) for column, values in given.items()}
        if len(set(sizes.values())) != 1:
            raise RunError(f"strategy {name}: the columns of its batch differ in length: {sizes}")
        if 0 in sizes.values():
            raise RunError(f"strategy {name} left a micro-batch without samples")
        weighted = SAMPLE_WEIGHT in given and SAMPLE_WEIGHT not in batch
        if weighted and not strategy.declares.sample_weights:
            raise RunError(
                f"strategy {name} weights samples without saying so: "
                "set declares = Declares(sample_weights=True)"
            )
        return given

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """The loss of each sample by the present model, shape (B,); leaves no trace."""
        module, device = self._engine.module, self._engine.settings.device
        with kept_buffers(module), same_draws(device):
            losses: Tensor = module(partial(self._compute.per_sample, batch))
        return losses


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.values())))
