"""Knowledge distillation by the softmax divergence."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trainwright_objectives.distillation import Distillation
from trainwright_objectives.options import Reduction


def distillation_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL divergence from the softened teacher to the softened student.

    Args:
        student: logits, shape (N, C).
        teacher: logits, shape (N, C).
        temperature: above 0.

    Returns:
        Shape (N,), times ``temperature ** 2``.
    """
    mine = functional.log_softmax(student / temperature, dim=1)
    theirs = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(mine, theirs, reduction="none", log_target=True)
    return temperature**2 * divergence.sum(dim=1)


class DistillationKL(Distillation):
    """Distil the softened class probabilities of a teacher: knowledge distillation.

    Equation:
        loss = T^2 * KL(softmax(teacher / T) || softmax(student / T)); the mean over samples.

    Args:
        temperature: T, above 0; large values match logits up to a shift. Suggested: 4.
        reduction: ``mean``, ``sum``, or ``none`` for one value per sample.

    Needs:
        ``logits`` (N, C) and ``teacher_logits`` (N, C): a column of the data that holds them.
        With a teacher model in the job use the strategy ``dual_head_distillation``. Commonly it
        stands beside cross-entropy, with weights 0.9 and 0.1.

    Measured:
        It is the baseline of the other distillation losses; see ``dual_head_distillation``.

    Source:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015,
        arXiv 1503.02531.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(self, temperature: float = 4.0, reduction: Reduction = "mean") -> None:
        super().__init__(distillation_kl, temperature, reduction)
