"""Batch normalisation between half-precision weights and float32 running statistics.

DeepSpeed casts the parameters of a model to bf16 or fp16 and leaves its buffers in float32, which
is right for running statistics, but torch's batch normalisation wants parameters and statistics
of one type. Casting its two small parameters where they are used serves both.
"""

from __future__ import annotations

from types import MethodType

from torch import Tensor, nn
from torch.nn import functional

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def accept_half_precision(module: nn.Module) -> None:
    """Let every plain batch normalisation inside ``module`` take half-precision parameters.

    Layers derived from them are left alone: they have a forward pass of their own.
    """
    for layer in module.modules():
        if type(layer) in _PLAIN:
            layer.forward = MethodType(_forward, layer)


def _forward(self: nn.BatchNorm2d, input: Tensor) -> Tensor:
    self._check_input_dim(input)
    uses_batch = self.training or self.running_mean is None
    momentum = 0.0 if self.momentum is None else self.momentum
    if self.training and self.num_batches_tracked is not None:
        self.num_batches_tracked.add_(1)
        if self.momentum is None:
            momentum = 1.0 / float(self.num_batches_tracked)
    keeps = not self.training or self.track_running_stats
    return functional.batch_norm(
        input,
        self.running_mean if keeps else None,
        self.running_var if keeps else None,
        None if self.weight is None else self.weight.float(),
        None if self.bias is None else self.bias.float(),
        uses_batch,
        momentum,
        self.eps,
    )
