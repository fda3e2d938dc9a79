"""Sample weights that are learnt on held-out samples, by a constrained bilevel method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from trainwright.strategy import (
    Batch,
    Compute,
    Context,
    Declares,
    Gradient,
    Loss,
    SampleTable,
    Step,
    Strategy,
    Stream,
)
from trainwright_strategies.value_function import (
    Rates,
    descent_y,
    descent_z,
    saddle_multiplier,
    saddle_theta,
)

_Positive = Annotated[float, Field(gt=0)]
UPPER = "lv_hba"
"""The stream of the upper level's samples."""


def ball_constraint(theta: Gradient, radius: float) -> tuple[Tensor, Gradient]:
    """(|theta|^2 - radius^2) / (2 radius) and its gradient, whose norm is 1 on the sphere."""
    norm = theta.norm()
    return (norm.square() - radius**2) / (2 * radius), theta / radius


def into_ball(weights: Gradient, radius: float) -> Gradient | None:
    """The nearest weights in the ball; None where they are in it."""
    norm = float(weights.norm())
    return weights * (radius / norm) if norm > radius else None


class LvHba(Strategy):
    """Learn how much each training sample counts, on held-out ones: LV-HBA for data cleaning.

    A bilevel problem. The lower level trains the model on weighted samples, its weights kept in a
    ball; the upper level chooses the samples' weights so that the model does well on the
    validation samples. A second set of weights, theta, follows what the lower level alone would
    have, and a multiplier the ball. Samples that the model must fit worse to do well on the
    validation samples lose weight. No second derivatives; one loop.

    Equation:
        With F the validation loss, f = mean over the batch of x_i * loss_i, and
        g(y) = (|y|^2 - R^2) / (2 R) <= 0:
        theta <- theta - eta * (grad f(theta) + lambda * theta / R + (theta - y) / gamma_1);
        lambda <- clip(lambda + eta * (g(theta) - (lambda - z) / gamma_2), 0, bound);
        x_i <- clip(x_i - weight_rate * (loss_i(y) - loss_i(theta)), 0, 1);
        y <- ball(y - lr * (grad F(y) / c_k + grad f(y) - (y - theta) / gamma_1));
        z <- clip(z + beta * (lambda - z) / gamma_2, 0, bound); c_k = c0 * (k + 1)^p.

    Args:
        weight_rate: step of the samples' weights, above 0. Suggested: 1 to 10.
        radius: R, above 0, of the ball that holds the model's weights; None for no constraint.
        eta: step of theta and lambda, above 0. Suggested: the model's learning rate.
        beta: step of z, above 0; it has to be slow.
        gamma_1: proximal weight of theta, above 0: the larger, the further theta may go.
        gamma_2: proximal weight of lambda, above 0.
        c0: first factor of the lower level against the upper, above 0. Suggested: 1 or less.
        p: the factor grows as (k + 1)^p, in (0, 0.5].
        bound: largest multiplier, above 0.

    Needs:
        A validation split, which is trained on here: judge by a test split. An objective that
        gives the loss of each sample. The model's step is that of the job's optimizer; plain SGD
        is the method's. Memory for one further copy of the weights on every worker. float32:
        losses at two points close to each other are compared.

    Measured:
        A step takes 5 to 6 times as long, for 3 gradients and a pass for losses instead of 1
        gradient (linear model and MLP 512-512, batch 71, whole runs in turn on one busy core).
        Breast cancer, linear model, 40 % of the training labels flipped, 114 clean validation
        samples, 160 updates, 5 seeds: test accuracy 0.966 against 0.749 without (paired gain 0.11
        to 0.32, 95 % interval), test loss 0.086 against 0.586; with sample weights that stay at
        1, 0.857 and 0.457. The mean weight falls to 0.596, about the share of right labels.

    Source:
        W. Yao, C. Yu, S. Zeng, J. Zhang, "Constrained Bi-Level Optimization: Proximal Lagrangian
        Value function Approach and Hessian-free Algorithm", 2024, arXiv 2401.16164. The authors'
        data cleaning moves the samples' weights by a projection only; here, as in the method's
        equations, they move by their gradient, and the multiplier stays at least 0.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(precisions=("fp32",), per_sample=True, several_forwards=True)

    def __init__(
        self,
        weight_rate: _Positive = 1.0,
        radius: _Positive | None = None,
        eta: _Positive = 0.1,
        beta: _Positive = 0.1,
        gamma_1: _Positive = 1.0,
        gamma_2: _Positive = 1.0,
        c0: _Positive = 1.0,
        p: Annotated[float, Field(gt=0, le=0.5)] = 0.3,
        bound: _Positive = 1e3,
    ) -> None:
        for name, value in (("weight_rate", weight_rate), ("radius", radius)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a number above 0, got {value!r}")
        self.weight_rate = weight_rate
        self.radius = radius
        self.rates = Rates(weight_rate, beta, eta, gamma_1, gamma_2, c0, p, bound)
        self._theta: Gradient | None = None
        self._multiplier = torch.zeros((), dtype=torch.float64)
        self._z = torch.zeros((), dtype=torch.float64)
        self._weights: SampleTable | None = None
        self._is_upper = False
        self._losses: list[Tensor] = []

    def streams(self) -> Mapping[str, Stream]:
        """The validation samples, as evaluation sees them."""
        return {UPPER: Stream(split="validation", training=False)}

    def begin(self, context: Context) -> None:
        """All samples count alike at first."""
        self._context = context
        self._weights = context.table("lv_hba/weight", init=1.0)

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """The upper level's loss as it is, the lower level's with weights."""
        if self._is_upper or self._weights is None:
            return compute(batch)
        losses = compute.per_sample(batch)
        self._losses.append(losses.detach())
        return Loss((self._weights[batch["sample_id"]].to(losses) * losses).mean())

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """One step of all variables; the model's own by the optimizer."""
        lower, losses = self._lower(step)
        y = Gradient(step.master(list(lower)))
        if self._theta is None:
            self._theta = y.clone()
        theta = self._follow(step, y, self._theta)
        # Losses alone are wanted: those without a graph are not differentiated.
        nearby = self._lower(step, theta - y, torch.no_grad()(step.loss))[1]
        direction = descent_y(self._upper(step), lower, theta, y, self.rates, step.index)
        step.set_gradient(direction)
        step.update()
        self._into_ball(step, list(lower))
        self._reweigh(step, losses - nearby)
        self._z = self._slowly(self._z)
        self._theta = theta

    def _lower(
        self,
        step: Step,
        shift: Gradient | None = None,
        loss: Callable[[Batch], Loss] | None = None,
    ) -> tuple[Gradient, Tensor]:
        """Gradient of f and the loss of each sample, at y or away from it."""
        self._losses = []
        if shift is not None:
            step.perturb(shift)
        gradient = step.gradient(loss, statistics=shift is None)
        step.restore()
        return gradient, torch.cat(self._losses)

    def _upper(self, step: Step) -> Gradient:
        self._is_upper = True
        gradient = step.gradient(batches=[step.next(UPPER)])
        self._is_upper = False
        return gradient

    def _follow(self, step: Step, y: Gradient, theta: Gradient) -> Gradient:
        """One step of theta and lambda, both from where they are."""
        gradient = self._lower(step, theta - y)[0]
        rates = self.rates
        if self.radius is not None:
            constraint, slope = ball_constraint(theta, self.radius)
            gradient = gradient.axpy(self._multiplier, slope)
            down = saddle_multiplier(constraint.cpu(), self._multiplier, self._z, rates)
            self._multiplier = rates.project(self._multiplier - rates.eta * down)
        return theta - rates.eta * saddle_theta(gradient, theta, y, rates)

    def _slowly(self, z: Tensor) -> Tensor:
        rates = self.rates
        return rates.project(z - rates.beta * descent_z(self._multiplier, z, rates))

    def _into_ball(self, step: Step, names: list[str]) -> None:
        if self.radius is None:
            return
        inside = into_ball(Gradient(step.master(names)), self.radius)
        if inside is not None:
            step.edit(inside)

    def _reweigh(self, step: Step, worse: Tensor) -> None:
        """Weights fall where the model fits worse than the lower level alone would."""
        assert self._weights is not None
        ids = torch.cat([batch["sample_id"] for batch in step.batches])
        new = (self._weights[ids] - self.rates.alpha * worse.to(torch.float32)).clamp(0.0, 1.0)
        self._weights.put(ids, new)
        self._context.log(
            {
                "lv_hba/weight": new.mean(),
                "lv_hba/gap": worse.mean(),
                "lv_hba/multiplier": self._multiplier,
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Theta and the multipliers; the samples' weights are in a table."""
        theta = {} if self._theta is None else dict(self._theta)
        return {"theta": theta, "multiplier": self._multiplier, "z": self._z}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._theta = Gradient(state["theta"]) if state["theta"] else None
        self._multiplier, self._z = state["multiplier"], state["z"]
