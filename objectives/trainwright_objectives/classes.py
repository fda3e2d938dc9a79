"""What objectives on scores of classes share: their inputs checked, the target's value taken."""

from __future__ import annotations

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


def of_target(values: Tensor, target: Tensor) -> Tensor:
    """``values[n, target[n]]``; asks about the range only after the lookup has failed.

    Raises:
        ValueError: a target is not in [0, D).
    """
    try:
        return values.gather(1, target.long().unsqueeze(1)).squeeze(1)
    except (IndexError, RuntimeError) as error:
        low, high = int(target.min()), int(target.max())
        if low >= 0 and high < values.shape[1]:
            raise
        raise ValueError(
            f"targets lie in [{low}, {high}], but there are {values.shape[1]} outputs: "
            f"allowed are 0 to {values.shape[1] - 1}"
        ) from error
