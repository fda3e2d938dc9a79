"""A comp-sum loss plus how far an attack moves the margins: smooth adversarial comp-sum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright_objectives.classes import of_target
from trainwright_objectives.comp_sum import check_options, comp_sum
from trainwright_objectives.options import Reduction, check_at_least_zero, check_reduction, reduced
from trainwright_objectives.precision import at_least_float32


def margin_shift(logits: Tensor, adv_logits: Tensor, target: Tensor) -> Tensor:
    """How far the margins of the target class move: the L2 norm over all other classes.

    Args:
        logits: outputs for the clean inputs, shape (N, D).
        adv_logits: outputs for the perturbed inputs, shape (N, D).
        target: class indices, shape (N,).

    Returns:
        Shape (N,), in float32 for half-precision logits; exactly 0, with gradient 0, where the
        outputs are the same.

    Raises:
        ValueError: the shapes differ, or a target is not in [0, D).

    Example:
        >>> clean, adv = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
        >>> round(margin_shift(clean, adv, torch.tensor([0])).item(), 4)
        1.4142
    """
    if logits.shape != adv_logits.shape:
        raise ValueError(
            f"adv_logits must have the shape of logits, {tuple(logits.shape)}, "
            f"got {tuple(adv_logits.shape)}"
        )
    logits, adv_logits = at_least_float32(logits), at_least_float32(adv_logits)
    change = adv_logits - logits
    # The target's own entry is 0 and adds nothing to the norm.
    change = of_target(change, target).unsqueeze(1) - change
    # Unlike sqrt(sum(x^2)) the norm has a gradient at 0, which is 0, and needs no eps for it.
    shift: Tensor = torch.linalg.vector_norm(change, dim=1)
    return shift


def smooth_adv_comp_sum(
    logits: Tensor,
    target: Tensor,
    adv_logits: Tensor | None = None,
    tau: float = 1.0,
    temperature: float = 1.0,
    nu: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """The comp-sum loss of the clean outputs plus ``nu`` times the shift of their margins.

    Args:
        logits: outputs for the clean inputs, shape (N, D) with D > 1.
        target: class indices, shape (N,), integers in [0, D).
        adv_logits: outputs for the perturbed inputs, shape (N, D); None for no perturbation.
        tau: member of the comp-sum family, at least 0.
        temperature: by which the clean logits are divided in the first term, above 0.
        nu: factor of the second term, at least 0.
        reduction: ``mean`` or ``sum`` over the samples, or ``none`` for shape (N,).

    Returns:
        A scalar, or shape (N,); in float32 for half-precision logits.

    Raises:
        ValueError: an option, a shape or a target is out of range, or targets are not class
            indices.

    Example:
        >>> clean, adv = torch.tensor([[2.0, 1, 0, -1]]), torch.tensor([[1.5, 1.2, 0.1, -1]])
        >>> round(smooth_adv_comp_sum(clean, torch.tensor([0]), adv).item(), 6)
        1.488999
    """
    check_reduction(reduction)
    check_at_least_zero("nu", nu)
    losses = comp_sum(logits, target, tau, temperature, reduction="none")
    if adv_logits is not None:
        losses = losses + nu * margin_shift(logits, adv_logits, target)
    return reduced(losses, reduction)


class SmoothAdvCompSum(nn.Module):
    """Comp-sum loss whose margins must not move under attack: smooth adversarial comp-sum.

    The first term is a comp-sum loss of the clean outputs. The second is the distance, over all
    classes but the target, between the margins of the clean and of the perturbed input; the
    gradient goes through both. It is an L2 distance of margins and not one of probabilities, as
    TRADES has it, and so it has no upper end: multiplying the outputs multiplies it.

    Equation:
        m_y(x) = logit_target(x) - logit_y(x) for all classes y but the target;
        loss = comp_sum(logits / temperature, target; tau) + nu * ||m(x') - m(x)||_2, with x' the
        point of the ball around x at which the norm is largest; then the mean over samples.
        For nu at least sqrt(D - 1) / temperature it bounds the adversarial zero-one loss, up to
        the factor ((2^(1 - tau)) - 1) / (1 - tau), which is log(2) at tau = 1.

    Args:
        tau: member of the comp-sum family, at least 0; see ``comp_sum``. Suggested: 1.
        temperature: of the first term, above 0 (rho in the paper). Suggested: 1.
        nu: factor of the second term, at least 0. Large values flatten the model and cost clean
            accuracy. Suggested: 0.3; the paper has 1.
        reduction: ``mean``, ``sum``, or ``none`` for one value per sample.

    Needs:
        ``logits`` of shape (N, D) with D at least 2, ``target``, class indices of shape (N,), and
        ``adv_logits``, the outputs for perturbed inputs, which the strategy ``adv_comp_sum`` makes.
        Without them (in evaluation) the loss is the comp-sum loss alone.

    Measured:
        See the strategy ``adv_comp_sum``, without which it is ``comp_sum``.

    Source:
        A. Mao, M. Mohri, Y. Zhong, "Cross-Entropy Loss Functions: Theoretical Analysis and
        Applications", ICML 2023, arXiv 2304.07288, sections 5 and 6; no code of the authors is
        known.

    Raises:
        ValueError: an option is out of range.

    Example:
        >>> objective = SmoothAdvCompSum(nu=0.0)
        >>> round(objective(torch.tensor([[2.0, 1.0, 0.0, -1.0]]), torch.tensor([0])).item(), 6)
        0.44019
    """

    couples = "sample"

    def __init__(
        self,
        tau: float = 1.0,
        temperature: float = 1.0,
        nu: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_options(tau, temperature, reduction)
        check_at_least_zero("nu", nu)
        self.tau = tau
        self.temperature = temperature
        self.nu = nu
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor, adv_logits: Tensor | None = None) -> Tensor:
        """The loss of clean and perturbed outputs (N, D) against class indices (N,)."""
        return smooth_adv_comp_sum(
            logits, target, adv_logits, self.tau, self.temperature, self.nu, self.reduction
        )

    def extra_repr(self) -> str:
        """The options that shape the loss, for ``print(objective)``."""
        return f"tau={self.tau:g}, temperature={self.temperature:g}, nu={self.nu:g}"
