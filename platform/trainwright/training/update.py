"""One update of the weights: shares of the global mean, forward, backward, hooks, move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn

from trainwright.collectives import begin_sum_over_workers, sum_over_workers
from trainwright.engine.base import Engine
from trainwright.objective import Share, WeightedSum
from trainwright.strategy import Batch, Loss, Strategy
from trainwright.strategy.compose import using, wrap_loss, wrap_step
from trainwright.training.auxiliary import Auxiliaries
from trainwright.training.batches import BatchHooks
from trainwright.training.compute import ObjectiveCompute
from trainwright.training.coupled import CoupledLoss
from trainwright.training.differentiation import moving_buffers
from trainwright.training.feed import Counts, Update
from trainwright.training.guard import Guard
from trainwright.training.passes import Passes
from trainwright.training.step import MODEL, EngineStep
from trainwright.training.streams import Streams


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

    def norms(self, names: Sequence[str]) -> Tensor:
        """L2 norms of some gradients."""
        return self._engine.gradient_norms(names)


class Updater:
    """Runs updates: the innermost part of the loop.

    Args:
        engine: what moves.
        terms: the objective's terms.
        strategies: in job order.
        auxiliaries: further models of the strategies.
        streams: further data of the strategies.
        guard: what is done about numbers that are not finite.
    """

    def __init__(
        self,
        engine: Engine,
        terms: WeightedSum,
        strategies: Sequence[Strategy],
        auxiliaries: Auxiliaries | None = None,
        streams: Streams | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.engine = engine
        self.guard = guard or Guard()
        self.skipped: str | None = None
        self.auxiliaries = auxiliaries or Auxiliaries({})
        self.streams = streams or Streams({})
        self._terms = terms
        self._needs_counts = terms.needs_counts
        self._strategies = strategies
        self._gradient_hooks = using(strategies, "gradients")
        self._updated_hooks = using(strategies, "updated")
        self._innermost = ObjectiveCompute(engine.module, terms)
        self._step_hooks = using(strategies, "step")
        self.compute = wrap_loss(strategies, self._innermost)
        self.passes = Passes(engine, self._innermost)
        self.coupled = CoupledLoss(engine, terms, strategies) if terms.couples == "batch" else None
        self._batch_hooks = BatchHooks(engine, self.compute, strategies)
        self._gradients = EngineGradients(engine)

    def __call__(self, update: Update, rates: Sequence[float]) -> dict[str, Tensor | float]:
        """Run one update.

        Returns:
            This worker's parts of the global loss and of its logged terms; summed over the
            workers they are means over the global batch. ``skipped`` then says why the update
            was left out, or None.
        """
        placed = [self.engine.place(batch) for batch in update.batches]
        step = EngineStep(self, (update.index, update.epoch), placed, [], rates)
        batches, size = self._batch_hooks(step, placed, update.size)
        step.train_on(batches, self._shares(batches, size, update.counts))
        buffers = self._buffers(update.index)
        wrap_step(self._step_hooks, step, step.take)()
        self.skipped = step.skipped
        if self.skipped is not None:
            step.clear()
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            return step.sums
        self.auxiliaries.follow(self.engine, update.index)
        for strategy in self._updated_hooks:
            strategy.updated(step)
        return step.sums

    def _buffers(self, index: int) -> list[tuple[Tensor, Tensor]]:
        """Running statistics and a copy of each, where a forward pass may turn out to be broken."""
        if not self.guard.looks_ahead(index):
            return []
        return [(buffer, buffer.clone()) for _, _, buffer in moving_buffers(self.engine.module)]

    def backward(self, step: EngineStep, batch: Batch, share: Share, last: bool) -> None:
        """The ordinary pass over one micro-batch of a step."""
        engine = self.engine
        self._innermost.share = share
        # Not as an argument: at stage 3 DeepSpeed would wrap each tensor of the batch.
        value, logged = engine.module(partial(self._loss, batch))
        factor = share.samples * engine.settings.world_size
        engine.backward(value if factor == 1.0 else value * factor, last)
        step.add("train/loss", value, share)
        for name, scalar in logged.items():
            step.add(f"train/{name}", scalar, share)

    def gradient_hooks(self, step: EngineStep) -> None:
        """Let strategies read and replace the global gradient."""
        if self._gradient_hooks:
            step.gradients = self._gradients
            for strategy in self._gradient_hooks:
                strategy.gradients(step)
            step.gradients = None

    @property
    def has_gradient_hooks(self) -> bool:
        """Whether a strategy may change the gradient before the weights move."""
        return bool(self._gradient_hooks)

    def parameters(self, of: str) -> Mapping[str, nn.Parameter]:
        """Trainable parameters of the model or of an aux model, by name."""
        return self.engine.parameters() if of == MODEL else self.auxiliaries[of].parameters()

    def shares(self, batches: Sequence[Batch]) -> list[Share]:
        """How much each of some micro-batches is of those of all workers (a collective)."""
        size = torch.tensor([float(sum(len(next(iter(b.values()))) for b in batches))])
        total = int(sum_over_workers(size, self.engine.settings.device))
        return self._shares(batches, total)

    def _loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss: Loss = self.compute(batch)
        return loss.value, loss.logged

    def _shares(
        self, batches: Sequence[Batch], size: int, counts: Counts | None = None
    ) -> list[Share]:
        samples = [next(iter(batch.values())).shape[0] / size for batch in batches]
        if not self._needs_counts:
            return [Share(part) for part in samples]
        counts = counts or self._counts(batches)
        ratios = [_Ratios(own, counts.total) for own in counts.own]
        return [Share(part, ratio) for part, ratio in zip(samples, ratios, strict=True)]

    def _counts(self, batches: Sequence[Batch]) -> Counts:
        """Of batches that no feed has counted beforehand (a collective)."""
        own = torch.stack([self._terms.count(batch) for batch in batches])
        # Added up while the first forward pass is computed: nobody asks before.
        total = begin_sum_over_workers(own.sum(dim=0), self.engine.settings.device)
        return Counts(own, cache(total))


class _Ratios:
    """For each term, the count of a micro-batch over that of the global batch, once it is known."""

    def __init__(self, own: Tensor, total: Callable[[], Tensor]) -> None:
        self._own = own
        self._total = total

    def __getitem__(self, position: int) -> float:
        tiny = torch.finfo(torch.float64).tiny
        return float(self._own[position]) / max(float(self._total()[position]), tiny)
