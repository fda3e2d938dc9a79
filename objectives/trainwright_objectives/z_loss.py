"""The Z-loss: classification by the standardised output of the target class."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright_objectives.classes import check_class_indices, of_target
from trainwright_objectives.options import Reduction, check_reduction, reduced
from trainwright_objectives.precision import at_least_float32


def target_z_score(logits: Tensor, target: Tensor, eps: float | None = None) -> Tensor:
    """The output of each sample's target class, standardised over that sample's outputs.

    The variance is the biased one, taken about the mean of shifted outputs, because
    ``mean(o^2) - mean(o)^2`` cancels when outputs are large and close together. ``eps`` is added
    to it inside the root, so that a row of equal outputs has a finite gradient.

    Args:
        logits: outputs before any normalisation, shape (N, D).
        target: class indices, shape (N,).
        eps: added to the variance; None takes 1e-12 in float64 and 1e-8 otherwise.

    Returns:
        Shape (N,), in float32 for half-precision logits, otherwise in their own type. Without
        ``eps`` every value lies in [-sqrt(D - 1), sqrt(D - 1)].

    Raises:
        ValueError: a target is not in [0, D).
    """
    logits = at_least_float32(logits)
    if eps is None:
        eps = 1e-12 if logits.dtype == torch.float64 else 1e-8
    # Nearby floats subtract exactly, and a shift common to a row changes neither value nor
    # gradient: after it, no digits are lost to a mean far from zero.
    shifted = logits - logits[:, :1].detach()
    standardised = functional.layer_norm(shifted, logits.shape[1:], eps=eps)
    return of_target(standardised, target)


def z_loss(
    logits: Tensor,
    target: Tensor,
    a: float = 1.0,
    b: float = 0.0,
    eps: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The Z-loss ``softplus(a * (b - z)) / a`` of the standardised target output ``z``.

    Args:
        logits: outputs before any normalisation, shape (N, D) with D > 2.
        target: class indices, shape (N,), integers in [0, D).
        a: sharpness, greater than 0.
        b: location: the standardised output from which a sample counts as right.
        eps: added to the variance of a row, at least 0; None takes 1e-12 in float64 and 1e-8
            otherwise. It limits the exact scale invariance to rows whose variance is far above.
        reduction: ``mean`` or ``sum`` over the samples, or ``none`` for shape (N,).

    Returns:
        A scalar, or shape (N,); in float32 for half-precision logits.

    Raises:
        ValueError: an option, a shape or a target is out of range, targets are not class
            indices, or there are fewer than three outputs.

    Example:
        >>> logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
        >>> round(z_loss(logits, torch.tensor([0])).item(), 6)
        0.232235
    """
    _check_options(a, b, eps, reduction)
    _check_inputs(logits, target)
    return reduced(_of_z_score(target_z_score(logits, target, eps), a, b), reduction)


def _of_z_score(z: Tensor, a: float, b: float) -> Tensor:
    """Softplus without its linear shortcut."""
    return -functional.logsigmoid(-a * (b - z)) / a


def _check_options(a: float, b: float, eps: float | None, reduction: str) -> None:
    if not (math.isfinite(a) and a > 0):
        raise ValueError(f"a is the sharpness and must be a number above 0, got {a!r}")
    if not math.isfinite(b):
        raise ValueError(f"b must be a finite number, got {b!r}")
    if eps is not None and not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps must be None or a number of at least 0, got {eps!r}")
    check_reduction(reduction)


def _check_inputs(logits: Tensor, target: Tensor) -> None:
    check_class_indices(logits, target, "Z-loss")
    if logits.shape[1] < 3:
        raise ValueError(
            f"the Z-loss needs at least 3 outputs, got {logits.shape[1]}: with two outputs the "
            "standardised ones are always -1 and 1, so nothing can be learned; "
            "use cross_entropy or bce_with_logits"
        )


class ZLoss(nn.Module):
    """Classification loss that ignores shift and scale of the outputs: the Z-loss.

    The outputs of one sample are standardised among themselves, and only the standardised output
    of the target class enters a softplus, so that multiplying all outputs by a positive number
    or adding one to them changes nothing. The loss is bounded, and cannot be lowered by making
    outputs larger; the ranking of the outputs is the prediction, but they are not
    log-probabilities (calibrate a temperature before reading them as such). Not the penalty on
    the squared log-partition that large language models use under the same name.

    Equation:
        z = (o - mean(o)) / sqrt(variance(o) + eps) over the D outputs of a sample, biased
        variance; loss = softplus(a * (b - z[target])) / a; then the mean over samples.

    Args:
        a: sharpness, above 0. Large values approach the hinge max(0, b - z). Suggested: 1.
        b: location. z never exceeds sqrt(D - 1), so b above that value gives a nearly linear
            loss, which moves training towards top-1. Suggested: 0; for many classes the paper's
            pair is a small ``a`` with a large ``b`` (0.1 and 28).
        eps: added to the variance inside the root; None takes 1e-8, in float64 1e-12.
        reduction: ``mean``, ``sum``, or ``none`` for one value per sample.

    Needs:
        ``logits`` of shape (N, D) with D at least 3, and ``target``, class indices of shape (N,).
        Columns of padding (a vocabulary rounded up) must be cut off: they enter mean and variance.
        With very many classes the strategy ``spherical_output`` trains without the outputs.

    Measured:
        Forward and backward take 2.2, 1.8 and 1.3 times those of torch's cross-entropy with 10,
        1,000 and 10,000 outputs (one CPU core, batches of 128 and 256). Digits, MLP 64-64-10,
        SGD, 40 epochs, 5 seeds, accuracy with 95 % interval, accuracy of the two likeliest classes,
        mean absolute output: cross-entropy 0.964 (0.955 to 0.973), 0.984, 6.1; ``a`` 1 and ``b`` 0
        0.961 (0.948 to 0.975), 0.986, 0.14; 2 and 2 0.975 (0.966 to 0.984), 0.988, 0.32; 0.5 and 3
        0.968 (0.958 to 0.978), 0.987, 0.44. Parity within the spread, with outputs that stay
        small. A gain in top-k accuracy, which the paper reports for large vocabularies, is too
        small to tell with ten classes and is not claimed.
        Gradients scale with 1 / sqrt(variance(o)), so learning rates of cross-entropy do not
        carry over, and weight decay changes the effective rate instead of the loss.

    Source:
        A. de Brebisson and P. Vincent, "The Z-loss: a shift and scale invariant classification
        loss belonging to the Spherical Family", 2016, arXiv 1604.08859. The authors' example
        code sums over the batch and adds eps outside the root; here it is the paper's mean, with
        eps inside, where equal outputs have a finite gradient.

    Raises:
        ValueError: an option is out of range.

    Example:
        >>> objective = ZLoss(a=1.0, b=0.0)
        >>> objective(torch.tensor([[2.0, 1.0, 0.0, -1.0]]), torch.tensor([3])).item() > 1.5
        True
    """

    couples = "sample"

    def __init__(
        self,
        a: float = 1.0,
        b: float = 0.0,
        eps: float | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check_options(a, b, eps, reduction)
        self.a = a
        self.b = b
        self.eps = eps
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits`` (N, D) against class indices ``target`` (N,)."""
        return z_loss(logits, target, self.a, self.b, self.eps, self.reduction)

    def of_statistics(
        self, target: Tensor, total: Tensor, squares: Tensor, num_classes: int
    ) -> Tensor:
        """The loss of each sample from three numbers, which is all it depends on.

        Args:
            target: output of the target class, shape (N,). All in float64: the variance is a
                difference of them.
            total: sum of the outputs, shape (N,).
            squares: sum of their squares, shape (N,).
            num_classes: D, how many outputs there are.

        Raises:
            ValueError: there are fewer than three outputs.
        """
        if num_classes < 3:
            raise ValueError(f"the Z-loss needs at least 3 outputs, got {num_classes}")
        mean = total / num_classes
        variance = (squares / num_classes - mean.square()).clamp(min=0)
        eps = 1e-12 if self.eps is None else self.eps
        return _of_z_score((target - mean) / (variance + eps).sqrt(), self.a, self.b)

    def extra_repr(self) -> str:
        """The options that shape the loss, for ``print(objective)``."""
        return f"a={self.a:g}, b={self.b:g}"
