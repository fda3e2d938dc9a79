"""What losses between the outputs of a student and those of its teacher have in common."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from trainwright_objectives.options import Reduction, check_above_zero, check_reduction, reduced
from trainwright_objectives.precision import at_least_float32

RowLosses = Callable[[Tensor, Tensor, float], Tensor]
"""(student logits, teacher logits, temperature) -> the loss of each sample, shape (N,)."""


def logits_of_both(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the student's type, half precision raised to float32; the teacher gets no gradient.

    Raises:
        ValueError: their shapes differ, or are not (N, C).
    """
    if student.dim() != 2 or student.shape != teacher.shape:
        raise ValueError(
            "the logits of student and teacher must have the same shape (N, C), got "
            f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    student = at_least_float32(student)
    return student, teacher.detach().to(student)


class Distillation(nn.Module):
    """A loss of the student's logits against ``teacher_logits``, an output or a batch column.

    Args:
        row_losses: the loss itself.
        temperature: divides the logits.
        reduction: over the samples.

    Raises:
        ValueError: an option is out of range.
    """

    couples = "sample"

    def __init__(self, row_losses: RowLosses, temperature: float, reduction: Reduction) -> None:
        super().__init__()
        check_above_zero("temperature", temperature)
        check_reduction(reduction)
        self.temperature = temperature
        self.reduction: Reduction = reduction
        self._row_losses = row_losses

    def forward(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """The loss of ``logits`` (N, C) against ``teacher_logits`` (N, C)."""
        student, teacher = logits_of_both(logits, teacher_logits)
        return reduced(self._row_losses(student, teacher, self.temperature), self.reduction)

    def extra_repr(self) -> str:
        """The options, for ``print(objective)``."""
        return f"temperature={self.temperature:g}, reduction={self.reduction}"
