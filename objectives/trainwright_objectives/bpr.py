"""Bayesian personalised ranking: a chosen item should score above one that was not chosen."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from trainwright_objectives.options import Reduction, check_reduction, reduced
from trainwright_objectives.precision import at_least_float32


def bpr(score: Tensor, negative_score: Tensor, reduction: Reduction = "mean") -> Tensor:
    """The loss ``-log(sigmoid(score - negative_score))``.

    Args:
        score: of the chosen items, shape (N,) or (N, 1).
        negative_score: of items that were not chosen, of the same shape.
        reduction: ``mean`` or ``sum`` over the samples, or ``none`` for the shape of ``score``.

    Returns:
        A scalar, or the shape of ``score``; in float32 at least.

    Raises:
        ValueError: the shapes differ, or the reduction is none.

    Example:
        >>> import torch
        >>> round(bpr(torch.tensor([2.0]), torch.tensor([0.0])).item(), 6)
        0.126928
    """
    check_reduction(reduction)
    if score.shape != negative_score.shape or score.shape[1:] not in ((), (1,)):
        raise ValueError(
            "a score and a negative score of shape (N,) or (N, 1) are needed, got "
            f"{tuple(score.shape)} and {tuple(negative_score.shape)}"
        )
    ahead = at_least_float32(score) - at_least_float32(negative_score)
    return reduced(-functional.logsigmoid(ahead), reduction)


class Bpr(nn.Module):
    """Ranking loss for implicit feedback: a chosen item above one that was not chosen, BPR.

    Equation:
        loss = -log(sigmoid(score - negative_score)); then the mean over samples.

    Args:
        reduction: ``mean``, ``sum``, or ``none`` for one value per sample.

    Needs:
        ``score`` and ``negative_score``, both (N,) or (N, 1), as model ``two_tower`` gives them
        with a column ``negative``, which transform ``random_negative`` draws.

    Measured:
        Forward and backward take 1.8 times those of ``bce_with_logits`` on as many scores (one busy
        CPU core, batch 512, medians of 60 rounds in turn). A baseline: no effect is measured here.

    Source:
        S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme, "BPR: Bayesian Personalized
        Ranking from Implicit Feedback", UAI 2009, arXiv 1205.2618. Its penalty on the weights is
        the optimizer's ``weight_decay``.

    Raises:
        ValueError: an option is out of range.
    """

    couples = "sample"

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.reduction = reduction

    def forward(self, score: Tensor, negative_score: Tensor) -> Tensor:
        """The loss of ``score`` over ``negative_score``, both (N,) or (N, 1)."""
        return bpr(score, negative_score, self.reduction)
