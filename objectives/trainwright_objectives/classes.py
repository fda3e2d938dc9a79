"""What objectives on scores of classes share: their inputs checked, the target's value taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def check_class_indices(logits: Tensor, target: Tensor, loss: str) -> None:
    """One row of scores for each sample, and one class index.

    Args:
        logits: shape (N, D).
        target: shape (N,).
        loss: name of the loss, for the message.

    Raises:
        ValueError: shapes or types do not go together.
    """
    if logits.dim() != 2:
        raise ValueError(f"logits must have shape (N, D), got {tuple(logits.shape)}")
    if target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(
            f"targets must be class indices of an integer type, got {target.dtype}: "
            f"the {loss} is not defined for soft targets"
        )
    if target.shape != logits.shape[:1]:
        raise ValueError(
            f"targets must have shape ({logits.shape[0]},) to go with the logits, "
            f"got {tuple(target.shape)}"
        )


@contextmanager
def lookup(target: Tensor, num_classes: int, ignore_index: int | None = None) -> Iterator[None]:
    """Around a lookup by class: once it has failed, says which targets are out of range.

    To ask before would let every forward pass wait for the device.

    Args:
        target: class indices, of any shape.
        num_classes: how many outputs there are.
        ignore_index: a target of this value is not looked up.

    Raises:
        ValueError: a target is not in [0, num_classes).
    """
    try:
        yield
    except (IndexError, RuntimeError) as error:
        counted = target if ignore_index is None else target[target != ignore_index]
        if not counted.numel() or (counted.min() >= 0 and counted.max() < num_classes):
            raise
        beside = "" if ignore_index is None else f", and {ignore_index} for what does not count"
        raise ValueError(
            f"targets lie in [{int(counted.min())}, {int(counted.max())}], but there are "
            f"{num_classes} outputs: allowed are 0 to {num_classes - 1}{beside}"
        ) from error


def of_target(values: Tensor, target: Tensor) -> Tensor:
    """``values[n, target[n]]``.

    Raises:
        ValueError: a target is not in [0, D).
    """
    with lookup(target, values.shape[1]):
        return values.gather(1, target.long().unsqueeze(1)).squeeze(1)
