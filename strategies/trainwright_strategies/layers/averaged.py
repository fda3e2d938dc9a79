"""What strategies that average weights share: handing the average over, and its statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import update_bn

_SEED = 0
"""Of the dropout masks while statistics are taken: the same on every worker."""


@torch.no_grad()
def take_over(average: nn.Module, model: nn.Module, *, statistics: bool = False) -> nn.Module:
    """``model`` with the parameters of ``average``, and with its buffers if ``statistics``.

    Raises:
        ValueError: they do not have the same parameters.
    """
    given, taking = dict(average.named_parameters()), dict(model.named_parameters())
    if different := sorted(given.keys() ^ taking.keys()):
        raise ValueError(
            f"the average was taken of another model: only one of them has "
            f"{', '.join(different[:3])}; put the strategy behind those that change the model"
        )
    for name, parameter in taking.items():
        parameter.copy_(given[name])
    if statistics:
        kept = dict(average.named_buffers())
        for name, buffer in model.named_buffers():
            buffer.copy_(kept[name])
    return model


def has_statistics(model: nn.Module) -> bool:
    """Whether some normalisation layer keeps running statistics."""
    return any(
        isinstance(layer, _NormBase) and layer.track_running_stats for layer in model.modules()
    )


def recalibrate(model: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> None:
    """Take the running statistics anew: cumulative means over ``batches``, in training mode.

    Args:
        model: called with each batch.
        batches: on the model's device.
    """
    was_training = model.training
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        update_bn(batches, model)
    model.train(was_training)
