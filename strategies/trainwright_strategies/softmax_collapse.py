"""Samples whose loss is rounded to zero, and weights that only become longer."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from trainwright.strategy import Batch, Compute, Context, Declares, Loss, Step, Strategy
from trainwright_objectives.options import check_whole


def collapsed(losses: Tensor) -> Tensor:
    """The share of losses that are exactly zero in their own number format, float32."""
    return (losses == 0).float().mean()


class SoftmaxCollapse(Strategy):
    """Probe: the share of samples with a loss of exactly zero, and the pull on the weights' length.

    Softmax in float32 is exactly 1 once an output is about 17 above the others (float64: 37).
    Then the sample's loss is 0 and it teaches nothing more: softmax collapse. What leads there is
    naive loss minimisation, a gradient that does little but lengthen the weights.

    Equation:
        softmax_collapse = share of the samples with loss_i == 0, in the number format in which
        the objective computes it
        alignment = -<w, g> / (|w| |g|), over all parameters together; 1: the step makes the
        weights longer and changes nothing else

    Args:
        every: updates from one measurement of the alignment to the next, at least 1.

    Needs:
        An objective that gives the loss of each sample. It records ``train/softmax_collapse`` in
        every update, and ``softmax_collapse/alignment`` of the gradient as the strategies before
        it in the job left it. Samples that an objective ignores count as collapsed.

    Measured:
        A run takes 1.2 times as long (27,000 weights, one core, processor time, ``every: 1``):
        the loss is computed twice, and the weights are gathered once in ``every`` updates.

    Source:
        L. Prieto, M. Barsbey, P. A. M. Mediano, T. Birdal, "Grokking at the Edge of Numerical
        Stability", 2025, arXiv 2501.04697, sections 3 and 4.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True, per_sample=True, full_gradients=True)

    def __init__(self, every: Annotated[int, Field(ge=1)] = 1) -> None:
        check_whole("every", every)
        self.every = every

    def begin(self, context: Context) -> None:
        """Note where to record."""
        self._context = context

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """The loss, and which samples have none left."""
        outputs = compute.forward(batch)
        with torch.no_grad():
            share = collapsed(compute.per_sample(batch, outputs))
        value, logged = compute(batch, outputs)
        return Loss(value, {**logged, "softmax_collapse": share})

    def gradients(self, step: Step) -> None:
        """How far the step follows the weights themselves."""
        if step.index % self.every:
            return
        assert step.gradients is not None
        parts = []
        for name, gradient in step.gradients.items():
            g, w = gradient.double(), step.master([name])[name].double()
            parts.append(torch.stack([-(w * g).sum(), w.square().sum(), g.square().sum()]))
        inner, weight, length = torch.stack(parts).sum(dim=0).tolist()
        alignment = inner / (weight * length) ** 0.5 if weight * length > 0 else 0.0
        self._context.log({"softmax_collapse/alignment": alignment})
