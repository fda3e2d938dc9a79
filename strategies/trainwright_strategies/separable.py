"""What the methods for linearly separable data share: margins, and what they need of a job."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright.strategy import Batch, Context, Outputs

LOGISTIC = (nn.BCEWithLogitsLoss, nn.CrossEntropyLoss, nn.SoftMarginLoss)
"""Losses of ``torch.nn`` that are the logistic loss of one or of several outputs."""


def margins(logits: Tensor, target: Tensor, *, soft: bool = False) -> Tensor:
    """How far each sample's own class is ahead of the others, float64 of shape (B,).

    Args:
        logits: one output a sample, shape (B,) or (B, 1), whose sign is the class, or one for
            each of K classes, shape (B, K).
        target: with one output 0 and 1, or -1 and 1; otherwise class indices.
        soft: the rival is not the best other class, but the logarithm of the sum of the
            exponentials of all others. Then sigmoid(-margin) is the probability that softmax
            gives to them. With two classes both are the same.

    Raises:
        ValueError: other targets.
    """
    logits = logits.double()
    if logits.dim() == 1 or logits.shape[1] == 1:
        return logits.flatten() * signs(target.flatten())
    own = target.long()[:, None]
    rivals = logits.scatter(1, own, -torch.inf)
    rival = torch.logsumexp(rivals, dim=1) if soft else rivals.amax(dim=1)
    return logits.gather(1, own)[:, 0] - rival


def signs(target: Tensor) -> Tensor:
    """Targets 0 and 1, or -1 and 1, as float64 -1 and 1.

    Raises:
        ValueError: there are others.
    """
    target = target.double()
    if not bool(((target.abs() == 1) | (target == 0)).all()):
        raise ValueError("with one output the targets must be 0 and 1, or -1 and 1; there are more")
    if bool((target < 0).any()) and bool((target == 0).any()):
        raise ValueError("targets must be 0 and 1, or -1 and 1; there are -1 and 0")
    return torch.where(target > 0, 1.0, -1.0).double()


def margins_of(batch: Batch, outputs: Outputs, *, soft: bool = False) -> Tensor:
    """:func:`margins` of a micro-batch, by its column ``target``."""
    return margins(outputs["logits"], batch["target"], soft=soft)


class Rows:
    """Numbers of the samples of an update, collected over micro-batches and workers."""

    def __init__(self) -> None:
        self._own: list[Tensor] = []

    def clear(self) -> None:
        """Begin an update."""
        self._own = []

    def put(self, rows: Tensor) -> None:
        """Add a micro-batch's, samples along dimension 0."""
        self._own.append(rows.detach())

    def gathered(self, context: Context) -> Tensor:
        """Those of all workers, the same on each (a collective)."""
        return context.gather(torch.cat(self._own))


def refuse_mini_batches(context: Context) -> None:
    """Only an update over all samples says whether they are separated.

    Raises:
        ValueError: an epoch has several updates.
    """
    if context.steps_per_epoch > 1:
        raise ValueError(
            f"an update must hold all training samples, but an epoch has {context.steps_per_epoch} "
            "updates: raise data.batch_size to the number of samples"
        )


def refuse_other_models(model: nn.Module) -> None:
    """The theory is about one linear layer for two classes.

    Raises:
        ValueError: there are other layers with weights, or more outputs.
    """
    layers = [part for part in model.modules() if list(part.parameters(recurse=False))]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear):
        raise ValueError(
            f"the model must be one linear layer (mlp with hidden: []), got {len(layers)} layers "
            f"with weights: {', '.join(type(layer).__name__ for layer in layers)}"
        )
    if layers[0].out_features > 2:
        raise ValueError(
            f"there must be two classes, one or two outputs; got {layers[0].out_features} outputs"
        )


def start_at_zero(model: nn.Module) -> None:
    """Set all weights to zero, where descent on separable data begins."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
