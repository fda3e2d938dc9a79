"""The innermost loss of a micro-batch: forward pass and objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from trainwright.engine.module import TrainModule
from trainwright.objective import Share, WeightedSum
from trainwright.strategy import Batch, Loss, Outputs
from trainwright.strategy.step import LossFunction
from trainwright.training.differentiation import input_gradient, kept_buffers
from trainwright.training.randomness import same_draws


class ObjectiveCompute:
    """Computes the loss of a batch by the model and the objective of one module.

    Attributes:
        share: the micro-batch's share of the global batch; set by the loop before each call.
    """

    def __init__(self, module: TrainModule, terms: WeightedSum) -> None:
        self._module = module
        self._forward = module.model.forward  # a wrapper without parameters of its own
        self._terms = terms
        objective = module.objective_in_use
        # Called as a module it would run DeepSpeed's hooks, which at stage 3 take longer than a
        # small loss and have nothing to gather here.
        self._objective = objective.forward if module.objective_is_plain else objective
        self.couples = terms.couples
        self.share: Share | None = None

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        """The loss of one micro-batch."""
        outputs = self.forward(batch) if outputs is None else outputs
        return cast(Loss, self._objective(outputs, batch, self.share))

    def forward(self, batch: Batch) -> Outputs:
        """The model's named outputs."""
        return self._forward(batch)

    def per_sample(self, batch: Batch, outputs: Outputs | None = None) -> Tensor:
        """The objective for each sample, shape (B,)."""
        return self._terms.per_sample(self.forward(batch) if outputs is None else outputs, batch)

    def input_gradient(
        self, batch: Batch, columns: Sequence[str], loss: LossFunction | None = None
    ) -> dict[str, Tensor]:
        """The gradient of the summed loss by columns of the batch; see ``Compute``."""
        device = next(iter(batch.values())).device
        share, self.share = self.share, None
        try:
            with torch.enable_grad(), same_draws(device), kept_buffers(self._module):
                return input_gradient(loss or self, batch, columns)
        finally:
            self.share = share
