"""Model outputs and targets brought into the form a metric takes.

Names of the shapes: N samples, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Task = Literal["binary", "multiclass", "multilabel"]


def align(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Take off a last dimension of size 1 that only one of the two has.

    (N, 1) against (N,) would be broadcast to (N, N) by plain arithmetic, and the metric would be
    a number, but a wrong one. All other shapes are left as they are.
    """
    if _has_extra_one(preds, target):
        return preds.squeeze(-1), target
    if _has_extra_one(target, preds):
        return preds, target.squeeze(-1)
    return preds, target


def _has_extra_one(longer: Tensor, shorter: Tensor) -> bool:
    return (
        longer.ndim == shorter.ndim + 1
        and longer.shape[-1] == 1
        and longer.shape[:-1] == shorter.shape
    )


def full_precision(values: Tensor) -> Tensor:
    """Detached, and in float32 where it is a half-precision number."""
    values = values.detach()
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def class_scores(preds: Tensor, target: Tensor, task: Task, *, raw: bool, by_label: bool) -> Tensor:
    """Predictions of a classifier as labels or probabilities.

    torchmetrics looks, batch by batch, whether all numbers happen to lie in [0, 1], and takes
    them for probabilities if so; a metric over several batches would then mix both. Raw outputs
    are therefore turned into probabilities here, always.

    Args:
        preds: shape of ``target`` or with C in dimension 1; whole numbers are labels already.
        target: class indices, or 0 and 1.
        task: kind of target.
        raw: whether ``preds`` are logits rather than probabilities.
        by_label: whether the metric looks at the likeliest classes only, for which logits are
            as good as probabilities and more exact.
    """
    if not preds.is_floating_point():
        return preds
    if task != "multiclass":
        return preds.sigmoid() if raw else preds
    if preds.shape == target.shape:
        preds = _two_columns(preds, raw)
    return preds.softmax(dim=1) if raw and not by_label else preds


def _two_columns(score: Tensor, raw: bool) -> Tensor:
    """One score for the second of two classes as one per class: (N, ...) to (N, 2, ...)."""
    first = torch.zeros_like(score) if raw else 1 - score
    return torch.stack([first, score], dim=1)


def whole_targets(target: Tensor) -> Tensor:
    """Class targets as whole numbers.

    Raises:
        ValueError: they are no whole numbers, as mixed labels are not.
    """
    if not target.is_floating_point():
        return target
    whole = target.round()
    if not torch.equal(whole, target):
        raise ValueError("the targets are not classes: some are no whole numbers")
    return whole.long()
