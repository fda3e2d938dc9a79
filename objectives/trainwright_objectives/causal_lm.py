"""Causal language modelling: the next token's cross-entropy, averaged over tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright_objectives.classes import lookup
from trainwright_objectives.options import Reduction, check_reduction
from trainwright_objectives.precision import at_least_float32


def causal_lm(
    logits: Tensor,
    target: Tensor,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy of each position's prediction against the token that follows it.

    Args:
        logits: outputs before any normalisation, shape (B, T, V).
        target: the token that follows each position, int64 of shape (B, T).
        ignore_index: a target of this value does not count.
        label_smoothing: share of the target's probability spread over the vocabulary, in [0, 1).
        reduction: ``mean`` or ``sum`` over the tokens that count, or ``none`` for the mean over
            the tokens of each sequence, shape (B,).

    Returns:
        A scalar, or shape (B,), in float32 for half-precision logits; 0 where no token counts.

    Raises:
        ValueError: an option is out of range, shapes do not go together, or a target is no token.

    Example:
        >>> logits = torch.zeros(1, 2, 4)
        >>> round(causal_lm(logits, torch.tensor([[3, -100]])).item(), 6)
        1.386294
    """
    _check_options(label_smoothing, reduction)
    _check_inputs(logits, target)
    logits = at_least_float32(logits)
    losses = _cross_entropy(logits, target, ignore_index, label_smoothing)
    if reduction == "sum":
        return losses.sum()
    counted = (target != ignore_index).sum(dim=None if reduction == "mean" else 1)
    total = losses.sum() if reduction == "mean" else losses.sum(dim=1)
    return total / counted.clamp(min=1)


def _cross_entropy(logits: Tensor, target: Tensor, ignored: int, smoothing: float) -> Tensor:
    """One value per token, 0 for those that do not count, shape (B, T)."""
    with lookup(target, logits.shape[-1], ignored):
        return functional.cross_entropy(
            logits.flatten(0, 1),
            target.flatten(),
            ignore_index=ignored,
            label_smoothing=smoothing,
            reduction="none",
        ).view_as(target)


def _check_options(label_smoothing: float, reduction: str) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing!r}")
    check_reduction(reduction)


def _check_inputs(logits: Tensor, target: Tensor) -> None:
    if logits.dim() != 3:
        raise ValueError(
            f"logits must have shape (batch, tokens, vocabulary), got {tuple(logits.shape)}"
        )
    if target.shape != logits.shape[:2]:
        raise ValueError(
            f"targets must have shape {tuple(logits.shape[:2])} to go with the logits, "
            f"got {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(f"targets must be token indices of an integer type, got {target.dtype}")


class CausalLM(nn.Module):
    """Language modelling loss: cross-entropy of the next token, a mean over tokens.

    The mean is over the tokens of the global batch, whatever the number of workers or
    micro-batches, so that a sequence with much padding weighs less than a full one.

    Equation:
        loss = sum over counted tokens of -log softmax(logits)[target] / number of counted tokens;
        exp(loss) is the perplexity, loss / log(2) the bits per token.

    Args:
        ignore_index: a target of this value does not count. Suggested: -100, which the platform's
            data uses.
        label_smoothing: share of the target's probability spread evenly over the vocabulary, at
            least 0 and below 1. Suggested: 0.
        reduction: ``mean`` or ``sum`` over tokens; ``none`` gives each sequence's own mean, whose
            average is the loss only where all sequences count equally many tokens.

    Needs:
        ``logits`` of shape (batch, tokens, vocabulary) and ``target`` of shape (batch, tokens): the
        token after each position, as the data set ``text`` and the transform ``next_token`` give.

    Measured:
        Equal to torch's cross-entropy on flattened tokens up to rounding (1e-14 in float64); no
        other effect is claimed.

    Source:
        Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, "A Neural Probabilistic Language Model",
        JMLR 3, 2003; label smoothing: C. Szegedy and others, 2015, arXiv 1512.00567, section 7.

    Raises:
        ValueError: an option is out of range.

    Example:
        >>> objective = CausalLM()
        >>> objective(torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.int64)).item() > 1.6
        True
    """

    couples = "sample"

    def __init__(
        self,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check_options(label_smoothing, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits`` (B, T, V) against the following tokens ``target`` (B, T)."""
        return causal_lm(logits, target, self.ignore_index, self.label_smoothing, self.reduction)

    def count(self, target: Tensor) -> Tensor:
        """The number of tokens that count: what the mean is over."""
        return (target != self.ignore_index).sum()

    def extra_repr(self) -> str:
        """The options that shape the loss, for ``print(objective)``."""
        return f"ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing:g}"
