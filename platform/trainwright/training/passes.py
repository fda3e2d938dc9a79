"""Passes beside the ordinary one: gradients and Hessian products that move nothing.

All of them go through ``torch.autograd.grad`` on the engine's module and one sum over the
workers. DeepSpeed's own accumulation is never involved, so that no stale gradient can be left in
it, at any ZeRO stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor

from trainwright.engine.base import Engine
from trainwright.objective import Share
from trainwright.strategy import Batch, Gradient, Loss, Outputs
from trainwright.strategy.step import LossFunction
from trainwright.training.compute import ObjectiveCompute
from trainwright.training.coupled import CoupledLoss
from trainwright.training.differentiation import (
    Parameters,
    add_gradient,
    input_gradient,
    kept_buffers,
    scalar_of,
)
from trainwright.training.randomness import same_draws


class Passes:
    """Measures an engine's module on micro-batches.

    Args:
        engine: whose module and parameters are meant.
        innermost: the objective; told each micro-batch's share of the global batch.
    """

    def __init__(self, engine: Engine, innermost: ObjectiveCompute) -> None:
        self._engine = engine
        self._innermost = innermost
        self._is_inside = False

    def forward(self, batch: Batch) -> Outputs:
        """The model's named outputs, differentiable."""
        module = self._engine.module
        with self._aside(statistics=False):
            outputs: Outputs = module(module.model, batch)
        return outputs

    def loss(
        self, compute: Callable[[Batch], Loss], batch: Batch, share: Share | None = None
    ) -> Loss:
        """The loss of one micro-batch, differentiable; inside another pass a part of that one."""
        if self._is_inside:
            return compute(batch)
        with self._aside(statistics=False):
            self._innermost.share = share
            loss: Loss = self._engine.module(partial(compute, batch))
        return loss

    def gradient(
        self,
        loss: LossFunction,
        batches: Sequence[Batch],
        shares: Sequence[Share],
        parameters: Parameters,
        *,
        statistics: bool = False,
        seen: Callable[[Tensor, Share], None] = lambda value, share: None,
    ) -> Gradient:
        """The gradient of the mean loss over the global batch, whole and in float32.

        Args:
            loss: mean loss of one micro-batch.
            batches: this worker's micro-batches; equally many on each worker.
            shares: how much of the global batch each of them is.
            parameters: by what to differentiate; the engine's, or those of another model.
            statistics: let running statistics count these passes.
            seen: told each micro-batch's loss.
        """
        total = self._zeros(parameters)
        scale = self._engine.loss_scale
        with self._aside(statistics):
            for batch, share in zip(batches, shares, strict=True):
                value = self._value(loss, batch, share)
                seen(value.detach(), share)
                if value.requires_grad:
                    factor = share.samples * scale
                    add_gradient(total, value * factor, parameters)
        return self._summed(total, 1.0 / scale)

    def coupled_gradient(
        self,
        coupled: CoupledLoss,
        batches: Sequence[Batch],
        parameters: Parameters,
        *,
        statistics: bool = False,
    ) -> tuple[Gradient, Tensor]:
        """The gradient of a loss over the global batch, and its value; see :meth:`gradient`."""
        total = self._zeros(parameters)
        scale = self._engine.loss_scale / self._engine.settings.world_size

        def backward(scalar: Tensor, last: bool) -> None:
            add_gradient(total, scalar * scale, parameters)

        with self._aside(statistics):
            loss = coupled(batches, backward)
        return self._summed(total, 1.0 / self._engine.loss_scale), loss.value

    def hvp(
        self,
        loss: LossFunction,
        batches: Sequence[Batch],
        shares: Sequence[Share],
        parameters: Parameters,
        vector: Mapping[str, Tensor],
    ) -> Gradient:
        """The Hessian of the mean loss over the global batch times ``vector``."""
        total = self._zeros(parameters)
        scale = self._engine.loss_scale
        wanted = list(parameters.values())
        with self._aside(statistics=False):
            for batch, share in zip(batches, shares, strict=True):
                value = self._value(loss, batch, share) * (share.samples * scale)
                first = torch.autograd.grad(value, wanted, create_graph=True, allow_unused=True)
                products = [
                    (gradient * vector[name].to(gradient)).sum()
                    for name, gradient in zip(parameters, first, strict=True)
                    if gradient is not None
                ]
                add_gradient(total, torch.stack(products).sum(), parameters)
        return self._summed(total, 1.0 / scale)

    def input_gradient(
        self, loss: LossFunction | None, batch: Batch, columns: Sequence[str]
    ) -> dict[str, Tensor]:
        """The gradient of a micro-batch's summed loss by some of its columns."""
        loss = loss or self._innermost
        with self._aside(statistics=False):
            return input_gradient(
                partial(self._value, loss, share=None), batch, columns, self._engine.loss_scale
            )

    def _value(self, loss: LossFunction, batch: Batch, share: Share | None) -> Tensor:
        self._innermost.share = share
        self._is_inside = True
        try:
            value: Tensor = self._engine.module(lambda: scalar_of(loss(batch)))
        finally:
            self._is_inside = False
        return value

    @contextmanager
    def _aside(self, statistics: bool) -> Iterator[None]:
        """Random numbers, and unless ``statistics`` buffers, are afterwards what they were."""
        device = self._engine.settings.device
        with torch.enable_grad(), same_draws(device):
            if statistics:
                yield
                return
            with kept_buffers(self._engine.module):
                yield

    def _zeros(self, parameters: Parameters) -> dict[str, Tensor]:
        """Views of one flat buffer, so that the workers need a single exchange."""
        shapes = {n: getattr(p, "ds_shape", p.shape) for n, p in parameters.items()}
        sizes = [math.prod(shape) for shape in shapes.values()]
        flat = torch.zeros(sum(sizes), dtype=torch.float32, device=self._engine.settings.device)
        parts = torch.split(flat, sizes)
        return {
            name: part.view(tuple(shape))
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }

    def _summed(self, total: dict[str, Tensor], factor: float) -> Gradient:
        if not total:
            return Gradient(total)
        flat = next(iter(total.values()))._base
        assert flat is not None
        if self._engine.settings.world_size > 1:
            dist.all_reduce(flat)
        if factor != 1.0:
            flat.mul_(factor)
        return Gradient(total)
