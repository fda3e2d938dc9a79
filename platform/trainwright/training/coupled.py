"""Losses that compare the samples of a batch: over the global batch, exact under accumulation.

The outputs of every micro-batch and worker are computed first, without their graphs, and gathered
in the order of the global batch. The loss of all of them together, computed once, gives the
gradient for each output; a second forward of each micro-batch, with the same random masks, carries
it back to the weights. Memory is that of one micro-batch plus the outputs of the global batch (Gao
et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021, arXiv
2101.06983).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainwright.data.random import key
from trainwright.engine.base import Engine
from trainwright.engine.module import TrainModule
from trainwright.errors import RunError
from trainwright.objective import WeightedSum
from trainwright.strategy import Batch, Compute, Loss, Outputs, Strategy
from trainwright.strategy.compose import using, wrap_loss
from trainwright.strategy.gathering import gather_rows
from trainwright.training.compute import ObjectiveCompute
from trainwright.training.differentiation import kept_buffers
from trainwright.training.randomness import random_state, same_draws, set_random_state

Backward = Callable[[Tensor, bool], None]
"""Takes a scalar to differentiate, and whether it is the last one of the update."""


class GlobalCompute(ObjectiveCompute):
    """The innermost loss of the global batch, whose outputs are there already.

    Args:
        module: model and objective.
        terms: the objective's terms.
        batch: columns of the global batch.
        outputs: the model's outputs for it.
    """

    def __init__(
        self, module: TrainModule, terms: WeightedSum, batch: Batch, outputs: Outputs
    ) -> None:
        super().__init__(module, terms)
        self._batch = batch
        self._outputs = outputs
        self._inputs = module.model.input_columns

    def forward(self, batch: Batch) -> Outputs:
        """The outputs that were gathered.

        Raises:
            RunError: they are asked for other inputs than those of the batch.
        """
        if any(batch.get(name) is not self._batch.get(name) for name in self._inputs):
            raise RunError(
                "the objective couples the samples of the global batch, whose outputs are computed "
                "before the loss: a strategy that runs the model on other inputs inside its `loss` "
                "hook cannot be combined with it"
            )
        return self._outputs


@dataclass
class _Pass:
    """One micro-batch of a worker: what its second forward needs."""

    batch: Batch
    outputs: dict[str, Tensor]
    randomness: tuple[Tensor, Tensor | None]


@dataclass
class _Whole:
    """The global batch as the loss sees it.

    Attributes:
        columns: the batch columns it reads.
        outputs: the model's outputs.
        own: the rows of this worker.
        seed: for the random numbers of the loss.
    """

    columns: dict[str, Tensor]
    outputs: dict[str, Tensor]
    own: slice
    seed: int


class CoupledLoss:
    """The loss of an update whose objective couples all samples of the global batch.

    Args:
        engine: whose module is run; its ``backward`` is not called here.
        terms: the objective's terms.
        strategies: their ``loss`` hooks see the global batch, on every worker.
    """

    def __init__(self, engine: Engine, terms: WeightedSum, strategies: Sequence[Strategy]) -> None:
        self._engine = engine
        self._module = engine.module
        self._device = engine.settings.device
        self._terms = terms
        self._strategies = strategies
        is_plain = self._module.objective_in_use is terms and not using(strategies, "loss")
        self._sees_all = not is_plain
        self._reaches_weights = self._sees_all or not self._module.objective_is_plain
        # At stage 3 weights are released after a backward, so no graph can be used twice.
        self._twice = self._reaches_weights and getattr(engine, "stage", 0) == 3

    def __call__(self, batches: Sequence[Batch], backward: Backward) -> Loss:
        """The loss of the global batch, the same on every worker (a collective).

        Args:
            batches: this worker's micro-batches, in order.
            backward: called once for each of them with a scalar; the gradient of the loss is the
                sum of their gradients, averaged over the workers.
        """
        passes = self._first_passes(batches)
        rows = [_rows(one.batch) for one in passes]
        whole = self._gathered(passes, sum(rows))
        with kept_buffers(self._module.objective_in_use) if self._twice else nullcontext():
            loss = self._loss(whole, whole.outputs)
        own = {name: torch.split(grad, rows) for name, grad in self._gradients(loss, whole).items()}
        for index, one in enumerate(passes):
            scalar = self._second_pass(one, {name: split[index] for name, split in own.items()})
            last = index == len(passes) - 1
            if last and self._reaches_weights:
                scalar = scalar + (self._again(whole) if self._twice else loss.value)
            if scalar.requires_grad:  # nothing of a frozen model before the last one
                backward(scalar, last)
        return Loss(loss.value.detach(), loss.logged)

    def _first_passes(self, batches: Sequence[Batch]) -> list[_Pass]:
        """The outputs of each micro-batch; with their graph where there is only one."""
        if len(batches) == 1:
            state = random_state(self._device)
            return [_Pass(batches[0], self._forward(batches[0]), state)]
        passes = []
        with torch.no_grad(), kept_buffers(self._module.model):
            for batch in batches:
                state = random_state(self._device)
                passes.append(_Pass(batch, self._forward(batch), state))
        return passes

    def _forward(self, batch: Batch) -> dict[str, Tensor]:
        # Not as an argument: at stage 3 DeepSpeed would wrap each tensor of the batch.
        outputs: dict[str, Tensor] = self._module(partial(self._module.model.forward, batch))
        size = _rows(batch)
        wrong = {n: list(v.shape) for n, v in outputs.items() if v.dim() == 0 or len(v) != size}
        if wrong:
            raise RunError(
                "the objective couples the samples of the global batch, so each output must have "
                f"one row per sample; of {size} samples the model made {wrong}"
            )
        return outputs

    def _gathered(self, passes: Sequence[_Pass], rows: int) -> _Whole:
        """All that the loss needs, from all workers; the outputs as leaves of a new graph."""
        world, rank = self._engine.settings.world_size, self._engine.settings.rank
        # One exchange for the numbers of rows and for a seed that is the same everywhere.
        seed = torch.initial_seed() & (2**63 - 1)
        known = gather_rows(torch.tensor([[rows, seed]], device=self._device), [1] * world).tolist()
        counts = [int(count) for count, _ in known]

        def gather(parts: Sequence[Tensor]) -> Tensor:
            return gather_rows(torch.cat([part.detach() for part in parts]), counts)

        names = self._columns(passes)
        outputs = {n: gather([one.outputs[n] for one in passes]) for n in passes[0].outputs}
        columns = {n: gather([one.batch[n] for one in passes]) for n in names}
        for value in outputs.values():
            value.requires_grad_(value.is_floating_point())
        first = sum(counts[:rank])
        return _Whole(columns, outputs, slice(first, first + rows), key(known[0][1], "coupled"))

    def _gradients(self, loss: Loss, whole: _Whole) -> dict[str, Tensor]:
        """The gradient of the loss with respect to this worker's outputs, for those it uses."""
        leaves = {name: value for name, value in whole.outputs.items() if value.requires_grad}
        keep = self._reaches_weights and not self._twice
        values = list(leaves.values())
        grads = torch.autograd.grad(loss.value, values, retain_graph=keep, allow_unused=True)
        return {
            name: grad[whole.own]
            for name, grad in zip(leaves, grads, strict=True)
            if grad is not None
        }

    def _columns(self, passes: Sequence[_Pass]) -> list[str]:
        """The batch columns that the loss reads; all of them where that cannot be known."""
        names = list(passes[0].batch)
        if self._sees_all:
            return names
        outputs = list(passes[0].outputs)
        used = {name for term in self._terms for name in term.binding.columns(outputs, names)}
        return [name for name in names if name in used]

    def _loss(self, whole: _Whole, outputs: Outputs) -> Loss:
        """The loss of everything, drawn with the same random numbers on every worker."""
        # Copies: at stage 3 DeepSpeed puts other tensors into the mappings a module is called with,
        # and the gradient is wanted for those that were given.
        columns, outputs = dict(whole.columns), dict(outputs)
        compute = coupled_compute(self._module, self._terms, self._strategies, columns, outputs)
        with same_draws(self._device):
            torch.manual_seed(whole.seed & (2**63 - 1))
            value, logged = self._module(partial(_evaluate, compute, columns))
        return Loss(value, logged)

    def _again(self, whole: _Whole) -> Tensor:
        """The loss anew, for what it owes to weights directly."""
        return self._loss(whole, {n: value.detach() for n, value in whole.outputs.items()}).value

    def _second_pass(self, one: _Pass, grads: Mapping[str, Tensor]) -> Tensor:
        """A scalar whose gradient, averaged over the workers, is this micro-batch's part.

        Args:
            one: the micro-batch.
            grads: the gradient of the loss with respect to its outputs.
        """
        outputs = one.outputs
        if not any(value.requires_grad for value in outputs.values()) and grads:
            set_random_state(one.randomness, self._device)
            outputs = self._forward(one.batch)
        world = self._engine.settings.world_size
        parts = [(outputs[n].float() * grad.float()).sum() * world for n, grad in grads.items()]
        return torch.stack([torch.zeros((), device=self._device), *parts]).sum()


def coupled_compute(
    module: TrainModule,
    terms: WeightedSum,
    strategies: Sequence[Strategy],
    batch: Batch,
    outputs: Outputs,
) -> Compute:
    """The loss of a global batch with given outputs, with all strategies around it."""
    return wrap_loss(strategies, GlobalCompute(module, terms, batch, outputs))


def _evaluate(compute: Compute, batch: Batch) -> tuple[Tensor, Mapping[str, Any]]:
    loss = compute(batch)
    return loss.value, loss.logged


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.values())))
