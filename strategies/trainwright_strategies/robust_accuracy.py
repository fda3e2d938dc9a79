"""Accuracy on the worst inputs that an attack finds near the samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from trainwright.strategy import (
    Batch,
    Declares,
    Evaluation,
    Strategy,
)
from trainwright_strategies.layers.attack import Attack, Norm, attacked_column
from trainwright_strategies.outputs import column_of, output_of


def class_tail(correct: Tensor, count: Tensor, share: float) -> float:
    """Mean accuracy of the worst classes.

    Args:
        correct: right samples of each class, shape (D,).
        count: samples of each class, shape (D,).
        share: of the classes that have samples, in (0, 1]; at least one is taken.

    Example:
        >>> class_tail(torch.tensor([7.0, 1.0, 4.0, 0.0]), torch.tensor([8.0, 8, 8, 0]), 0.6)
        0.3125
    """
    accuracy = (correct[count > 0] / count[count > 0]).sort().values
    worst = max(1, math.ceil(share * len(accuracy) - 1e-9))
    return float(accuracy[:worst].mean())


class RobustAccuracy(Strategy):
    """Probe: accuracy under attack at each evaluation, of all classes and of the worst ones.

    Projected gradient ascent on the cross-entropy looks for wrong predictions in a ball around
    each sample. It is the usual yardstick and an upper bound: stronger attacks may find more.
    Adds ``robust_accuracy`` and ``robust_accuracy_tail`` to what evaluation measures.

    Equation:
        robust_accuracy = mean over samples of 1[argmax logits(x') = target], with
        x' = x + uniform noise in the ball, then ``steps`` times
        x' <- project(x' + step_size * direction of the gradient of cross_entropy(x', target));
        robust_accuracy_tail = the mean of the same over the worst classes, each counting once.

    Args:
        eps: radius of the ball in units of the inputs after all transforms, at least 0; 0 gives
            the plain accuracy.
        steps: gradients of the ascent, at least 1. Suggested: 20.
        step_size: length of a step, above 0; null for eps / 4.
        norm: of ball and step, ``linf`` (sign of the gradient) or ``l2``.
        random_start: begin at a random point of the ball instead of its centre.
        clip: range of valid inputs, or null for none.
        tail: share of the classes that are its tail, above 0 and at most 1.
        column: the input to perturb; null where the data has a single column of floating-point
            numbers.
        output: the model's output that holds the logits.
        target: the column of class indices.

    Needs:
        A validation or test split. ``predict`` hooks of other strategies take part and must be
        differentiable.

    Measured:
        An evaluation costs ``steps`` + 1 further forward and ``steps`` backward passes over its
        samples: set ``evaluate_every`` accordingly. Nothing is claimed of training, which it
        leaves bit for bit as it is.

    Source:
        A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, "Towards Deep Learning Models
        Resistant to Adversarial Attacks", 2018, arXiv 1706.06083; the mean over the worst 30 % of
        the classes as in D. Sow, S. Lin, Z. Wang, Y. Liang, 2024, arXiv 2308.00311.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True)

    def __init__(
        self,
        eps: Annotated[float, Field(ge=0)],
        steps: Annotated[int, Field(ge=1)] = 20,
        step_size: Annotated[float, Field(gt=0)] | None = None,
        norm: Norm = "linf",
        random_start: bool = True,
        clip: tuple[float, float] | None = (0.0, 1.0),
        tail: Annotated[float, Field(gt=0, le=1)] = 0.3,
        column: str | None = None,
        output: str = "logits",
        target: str = "target",
    ) -> None:
        self.attack = Attack(
            eps=eps,
            steps=steps,
            step_size=step_size,
            norm=norm,
            random_start=random_start,
            clip=clip,
        )
        if not 0 < tail <= 1:
            raise ValueError(f"tail must be above 0 and at most 1, got {tail!r}")
        self.tail = tail
        self.column = column
        self.output = output
        self.target = target

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Attack every batch and count, class by class, what is still right."""
        totals: Tensor | None = None
        for batch, outputs, counted in evaluation.passes():
            num_classes = output_of(outputs, self.output).shape[1]
            target = column_of(batch, self.target)
            right = self._right(batch, evaluation)
            if totals is None:
                totals = torch.zeros(2, num_classes, dtype=torch.float64)
            if counted:
                totals[0] += torch.bincount(target[right], minlength=num_classes).cpu()
                totals[1] += torch.bincount(target, minlength=num_classes).cpu()
        assert totals is not None  # each worker runs at least one pass
        correct, count = evaluation.sum(totals)
        return {
            "robust_accuracy": float(correct.sum() / count.sum()),
            "robust_accuracy_tail": class_tail(correct, count, self.tail),
        }

    def _right(self, batch: Batch, evaluation: Evaluation) -> Tensor:
        """Whether each sample is classified rightly under attack, shape (B,)."""
        name, target = attacked_column(batch, self.column), batch[self.target]

        def gradient(x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                logits = evaluation.forward({**batch, name: x})[self.output]
                loss = functional.cross_entropy(logits.float(), target, reduction="sum")
                return torch.autograd.grad(loss, x)[0]

        random = evaluation.context.rng("robust_accuracy", "sample", batch["sample_id"])
        moved = self.attack(batch[name], gradient, random)
        logits = evaluation.forward({**batch, name: moved})[self.output]
        return logits.argmax(dim=1) == target
