"""Correctness-aware calibration: the confidence shall tell whether the prediction is right."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright_objectives.classes import check_class_indices, of_target
from trainwright_objectives.options import reduced
from trainwright_objectives.precision import at_least_float32


def confidence_of(logits: Tensor) -> Tensor:
    """The probability of the likeliest class, shape (N,), in float32 at least.

    Example:
        >>> round(confidence_of(torch.tensor([[2.0, 1.0, 0.0]])).item(), 6)
        0.665241
    """
    return at_least_float32(logits).softmax(dim=1).amax(dim=1)


def balancing_weights(correct: Tensor, share: Tensor) -> Tensor:
    """Weights of mean 1 with which right and wrong samples count the same in total.

    Args:
        correct: whether each prediction is right, shape (N,), bool.
        share: scalar, how many of all samples are right; these may be more than those in
            ``correct``. Where all or none are, the weights are 1.

    Example:
        >>> balancing_weights(torch.tensor([True, True, True, False]), torch.tensor(0.75))
        tensor([0.6667, 0.6667, 0.6667, 2.0000])
    """
    both = 2 * share * (1 - share)
    weights = torch.where(correct, 1 - share, share) / both
    return torch.where(both > 0, weights, torch.ones_like(weights))


def squared_gap(confidence: Tensor, correct: Tensor) -> Tensor:
    """The squared distance of each confidence from 1 where it is right, from 0 where wrong."""
    return (confidence - correct.to(confidence)).square()


class CorrectnessAwareCalibration(nn.Module):
    """Confidence near 1 where the prediction is right and near 0 where it is wrong.

    The Brier score of the confidence. Cross-entropy also rewards confidence in a wrong class that
    is close to the right one; this loss does not: for every wrong sample it asks for less.

    Equation:
        c = max(softmax(logits)), r = 1[predicted class = target];
        loss = mean over samples of (c - r)^2; with ``balance`` the weighted mean with weights
        1 - a for right and a for wrong samples, a = mean(r) over the global batch.

    Args:
        balance: let right and wrong samples count the same in total. The best constant confidence
            is then 1/2 whatever the accuracy: less confident on data like the training data than
            the accuracy says, and nearer to it where the accuracy falls. Without it the best
            constant is the accuracy.

    Needs:
        ``logits`` of shape (N, C) and ``target``, class indices of shape (N,). ``predicted``,
        class indices, where the prediction is not the likeliest class of these logits (a
        calibrator that changes the order). With ``balance`` it couples the global batch.

    Measured:
        See the strategy ``ca_calibrator``.

    Source:
        Y. Liu, L. Wang, Y. Zou, J. Zou, L. Zheng, "Optimizing Calibration by Gaining Aware of
        Prediction Correctness", 2024, arXiv 2404.13016. The weights are those of the authors'
        code, in which a batch of one kind alone divides 0 by 0; here it counts uniformly.

    Example:
        >>> objective = CorrectnessAwareCalibration()
        >>> round(objective(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0])).item(), 5)
        0.11206
    """

    couples = "batch"

    def __init__(self, balance: bool = True) -> None:
        super().__init__()
        self.balance = balance
        if not balance:
            self.couples = "sample"
            self.reduction = "mean"

    def forward(self, logits: Tensor, target: Tensor, predicted: Tensor | None = None) -> Tensor:
        """The loss of calibrated ``logits`` (N, C) against class indices (N,)."""
        check_class_indices(logits, target, "correctness-aware loss")
        of_target(logits, target)  # refuses what would otherwise pass for a mistake of the model
        predicted = logits.argmax(dim=1) if predicted is None else predicted
        correct = predicted == target
        errors = squared_gap(confidence_of(logits), correct)
        if self.balance:
            return (balancing_weights(correct, correct.to(errors).mean()) * errors).mean()
        return reduced(errors, self.reduction)

    def extra_repr(self) -> str:
        """The option, for ``print(objective)``."""
        return f"balance={self.balance}"
