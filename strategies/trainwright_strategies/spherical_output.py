"""An output layer whose cost does not depend on the number of classes, for spherical losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.strategy import (
    Batch,
    Compute,
    Context,
    Declares,
    Evaluation,
    Loss,
    Outputs,
    Plan,
    Step,
    Strategy,
)
from trainwright_strategies.layers.deep_linear import find_linear_head
from trainwright_strategies.layers.replace import replace_modules
from trainwright_strategies.layers.spherical_head import SphericalHead, Statistics
from trainwright_strategies.plain_sgd import refuse_other_steps

_LEFT_OUT = "it would leave out the output layer, which no optimizer holds"


class SphericalOutput(Strategy):
    """Train the output layer in time that does not depend on the number of classes.

    A spherical loss, the Z-loss for one, sees of all outputs of a sample only that of the target
    class, their sum and the sum of their squares. The three come from matrices of the size of
    the features, which are kept up to date, as is the whole output layer, without it or its
    outputs being multiplied out. The weights are exactly those of plain SGD on the ordinary
    layer, but for rounding; evaluation and the exported model have the ordinary layer.

    Equation:
        For o = W h: target = W_c h, total = (W^T 1) h, squares = h^T (W^T W) h. A step on
        W = V U + 1 s^T multiplies U by A = 1 - 2 lr H^T diag(g_squares) H, moves s, and of V only
        the rows of the targets in the batch.

    Args:
        max_condition: at least 1. U and V are multiplied out once U is conditioned worse, which
            costs as much as a few ordinary steps; rounding errors are about 1e-16 times as
            large. Suggested: 1e6. Large learning rates get there sooner.

    Needs:
        Optimizer ``sgd`` without momentum and weight decay, no ``max_grad_norm``. One objective
        that has ``of_statistics`` (``z_loss``), averaged over samples, with class targets. A
        model whose ``logits`` are the outputs of its last linear layer; during training they are
        that layer's input. Its width, not the number of classes, decides the cost: it pays where
        there are many more classes than features. W stays in memory, in float64; its
        gradient, the outputs and theirs do not exist. Evaluation, checkpoints and multiplying
        out go over all of W; nothing in an update does.

    Measured:
        A step on 128 features and samples takes 2.6 ms at 1,000, 10,000 and 100,000 classes (one
        CPU core, median, the whole update of an MLP 64-128); with the ordinary layer 1.9, 36 and
        560 ms. Interleaved with those it is 1.5, 0.19 and 0.017 times as long; up to 793,471
        classes, and beside other softmaxes, see the benchmark ``classes``. With 5,000
        classes, an MLP 32-64 and 472 updates, 5 seeds, accuracy and loss are those of the
        ordinary layer (paired differences -0.0001 +- 0.0003 and -7e-6 +- 2e-5), the relative
        error of the kept products is below 1e-11, and nothing was folded; at ten times the rate
        it was once.

    Source:
        A. de Brebisson and P. Vincent, "The Z-loss: a shift and scale invariant classification
        loss belonging to the Spherical Family", 2016, arXiv 1604.08859, on the layer of
        P. Vincent, A. de Brebisson, X. Bouthillier, "Efficient Exact Gradient Update for training
        Deep Networks with Very Large Sparse Targets", 2015, arXiv 1412.7091. They keep the
        inverse of U by rank-one updates; here it is changed by all samples of an update at once
        and taken anew every 64 updates, or in each where there are more samples than half the
        features, and folding takes the place of mending singular values.

    Raises:
        ValueError: an option is out of range, or the job cannot be trained so.
    """

    declares = Declares(
        engines=("local",),
        precisions=("fp32", "bf16"),
        conflicts=dict.fromkeys(("ema", "swa"), _LEFT_OUT),
    )

    def __init__(self, max_condition: Annotated[float, Field(ge=1)] = 1e6) -> None:
        if not max_condition >= 1:
            raise ValueError(f"max_condition must be a number of at least 1, got {max_condition!r}")
        self.max_condition = max_condition
        self._recording = False
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def plan(self, plan: Plan) -> Plan:
        """Leave the plan.

        Raises:
            ValueError: the optimizer is not plain SGD, or gradients are clipped.
        """
        refuse_other_steps(plan)
        return plan

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Put the layer in the place of the last linear one.

        Raises:
            ValueError: there is none.
        """
        self._context = context
        _, classifier = find_linear_head(model)
        self._head = SphericalHead(classifier, self.max_condition)
        return replace_modules(model, {classifier: self._head})

    def objective(self, objective: nn.Module) -> nn.Module:
        """Leave the objective, but see what it makes of the statistics.

        Raises:
            ValueError: it is not one mean of a spherical loss.
        """
        terms = list(getattr(objective, "terms", ()))
        losses = [getattr(term, "objective", None) for term in terms]
        if len(losses) != 1 or not hasattr(losses[0], "of_statistics"):
            raise ValueError(
                "the objective must be a single spherical loss, one that has of_statistics: z_loss"
            )
        if getattr(losses[0], "reduction", "mean") != "mean":
            raise ValueError("the objective must average over samples, not add them up")
        self._loss: Any = losses[0]
        self._weight = float(terms[0].weight)
        bound = terms[0].binding.bind
        self._output, self._target = (bound.get(name, name) for name in ("logits", "target"))
        return objective

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Note what the backward pass says about the statistics of each sample."""
        self._seen, self._recording = [], True
        try:
            take()
        finally:
            self._recording = False

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """The mean of the losses from the statistics."""
        return Loss(self._losses(batch, compute.forward(batch)).mean())

    def per_sample(self, batch: Batch, compute: Compute) -> Tensor:
        """The losses from the statistics, shape (B,)."""
        return self._losses(batch, compute.forward(batch))

    def _losses(self, batch: Batch, outputs: Outputs) -> Tensor:
        features, target = outputs[self._output], batch[self._target].long()
        if not self._head.gave(features):
            raise ValueError(
                f"{self._output} must be what the model's last linear layer gives, as it is"
            )
        inputs = self._head.inputs(features)
        statistics = torch.stack(self._head.statistics(inputs, target))
        if self._recording and statistics.requires_grad:
            note = partial(self._note, inputs.detach(), target)
            statistics.register_hook(note)  # type: ignore[no-untyped-call]
        losses: Tensor = self._loss.of_statistics(*statistics, self._head.num_classes)
        return (self._weight * losses).to(torch.float32)

    def _note(self, inputs: Tensor, target: Tensor, gradient: Tensor) -> None:
        self._seen.append((inputs, target, gradient))

    def updated(self, step: Step) -> None:
        """Take the step on the output layer, with the rate of the first parameter group.

        Raises:
            RuntimeError: the update took its gradient from elsewhere than the loss.
        """
        if not self._seen:
            raise RuntimeError(
                "spherical_output found no backward pass in this update: it cannot be used with a "
                "strategy that computes the gradient itself"
            )
        inputs, target, gradient = zip(*self._seen, strict=True)
        self._seen = []
        self._head.descend(
            torch.cat(inputs),
            torch.cat(target),
            Statistics(*torch.cat(gradient, dim=1)),
            step.learning_rates[0],
        )
        self._context.log({"folds": self._head.folds})

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """How far the kept products have drifted from those of the weights, relative."""
        _, exact = self._head.products()
        return {"gram_error": float((self._head.gram - exact).norm() / exact.norm())}

    def export(self, model: nn.Module) -> nn.Module:
        """The model with an ordinary linear layer."""
        heads = [m for m in model.modules() if isinstance(m, SphericalHead)]
        return replace_modules(model, {head: head.as_linear() for head in heads})
