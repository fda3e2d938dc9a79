"""Weight decay, or bounds of weights' norms, learnt on held-out samples within one training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainwright.strategy import Context, Declares, Gradient, ParameterGroup, Step
from trainwright_objectives.options import check_above_zero, check_at_least_zero
from trainwright_strategies.bilevel.projections import onto_cone
from trainwright_strategies.bilevel.two_levels import ANOTHER_STEP, TwoLevels
from trainwright_strategies.bilevel.value_function import Rates
from trainwright_strategies.patterns import check_patterns, fits, name_in_model

_Positive = Annotated[float, Field(gt=0)]
EPS = 1e-12
"""Below this length a group of weights has no direction, and its constraint no gradient."""


class BilevelHyperparam(TwoLevels):
    """Tune weight decay, or bounds of weights' norms, on held-out samples while training: LV-HBA.

    One run in place of a search over a grid. A bilevel problem: the lower level trains the model's
    weights y under the hyperparameters x, one for each group of parameters; the upper level
    chooses x so that the model does well on the validation samples. A second set of weights,
    theta, follows what the lower level alone would have. No second derivatives; one loop.

    Equation:
        With F the validation loss, L the training loss, and groups j of weights,
        ``weight_decay``: f = L + sum of x_j |y_j|^2 / 2, no constraint, X = [0, highest]:
        x_j <- clip(x_j - lr * rate * (|y_j|^2 - |theta_j|^2) / 2, 0, highest).
        ``norm``: f = L with the coupled constraints g_j(x, y) = |y_j| - x_j <= 0:
        lambda_j <- clip(lambda_j + eta * (g_j(x, theta) - (lambda_j - z_j) / gamma_2), 0, bound);
        x_j <- x_j - lr * rate * lambda_j, then (x_j, y_j) to the nearest point of the cone
        |y_j| <= x_j; z <- clip(z + beta * (lambda - z) / gamma_2, 0, bound).
        theta <- theta - eta * (grad f(theta) + sum of lambda_j theta_j / |theta_j|
        + (theta - y) / gamma_1); y <- y - lr * (grad F(y) / c_k + grad f(y)
        - (y - theta) / gamma_1); c_k = c0 * (k + 1)^p.

    Args:
        tune: ``weight_decay`` of each group, or its largest ``norm``.
        initial: first value of every hyperparameter, at least 0; None: 0 for weight decay, and
            the norm that a group begins with.
        rate: step of the hyperparameters, as a multiple of the learning rate, above 0; it weighs
            distances in the projection too.
        groups: name -> pattern of parameters; a parameter belongs to the first that fits it, the
            others are not regularised. None: one group ``weights`` of ``*weight``.
        highest: largest weight decay, above 0.
        eta: step of theta and lambda, above 0. Suggested: the model's learning rate.
        beta: step of z, above 0; it has to be slow.
        gamma_1: proximal weight of theta, above 0: the larger, the further theta may go.
        gamma_2: proximal weight of lambda, above 0.
        c0: first factor of the lower level against the upper, above 0. The smaller, the more the
            model itself learns the validation samples, which then say little about
            regularisation. Suggested: 20.
        p: the factor grows as (k + 1)^p, in (0, 0.5].
        bound: largest multiplier, above 0.

    Needs:
        A validation split, which is trained on here: judge by a test split. No weight decay in
        the job's optimizer, which makes the model's step; plain SGD is the method's. Memory for
        one further copy of the weights on every worker.

    Measured:
        A step takes 4 to 5 times as long, for 3 gradients instead of 1 and the copies of weights
        between them (MLP 512-512 and linear model, batch 90, processor time of one busy core).
        Linear model on 90 samples of 4 noisy clouds in 64 dimensions, 90 validation samples, 100
        updates, 5 seeds. Weight decay from 0 comes to 0.276 (95 % interval 0.263 to 0.290), where
        the best of the grid 0, 0.03, 0.1, 0.3, 1 is 0.3; test loss 1.160 against 1.99 without,
        1.177 with the grid's best, and 1.24 where it hardly moves (paired gain 0.018 to 0.137).
        The norm's bound from 0.4 comes to 1.36; test loss 1.160 against 1.265 where it hardly
        moves. Bounds that are too large fall slowly: begin with a small one. Accuracy gains
        nothing. With c0 = 1 the model learns the validation samples by heart, and weight decay
        ends at 0.003.

    Source:
        W. Yao, C. Yu, S. Zeng, J. Zhang, "Constrained Bi-Level Optimization: Proximal Lagrangian
        Value function Approach and Hessian-free Algorithm", 2024, arXiv 2401.16164, whose
        hyperparameters are costs of single samples. Bounds of norms as hyperparameters: L. Gao,
        J. Ye, H. Yin, S. Zeng, J. Zhang, "Value Function based Difference-of-Convex Algorithm for
        Bilevel Hyperparameter Selection Problems", 2022, arXiv 2206.05976.

    Raises:
        ValueError: an option is out of range, or a pattern fits no parameter.
    """

    declares = Declares(
        precisions=("fp32", "bf16"),
        several_forwards=True,
        conflicts={"lv_hba": ANOTHER_STEP},
    )

    upper_stream = "bilevel_hyperparam"

    def __init__(
        self,
        tune: Literal["weight_decay", "norm"] = "weight_decay",
        initial: Annotated[float, Field(ge=0)] | None = None,
        rate: _Positive = 1.0,
        groups: Mapping[str, str] | None = None,
        highest: _Positive = 10.0,
        eta: _Positive = 0.1,
        beta: _Positive = 0.1,
        gamma_1: _Positive = 1.0,
        gamma_2: _Positive = 1.0,
        c0: _Positive = 20.0,
        p: Annotated[float, Field(gt=0, le=0.5)] = 0.3,
        bound: _Positive = 1e3,
    ) -> None:
        if tune not in ("weight_decay", "norm"):
            raise ValueError(f"tune must be weight_decay or norm, got {tune!r}")
        for name, value in (("rate", rate), ("highest", highest)):
            check_above_zero(name, value)
        if initial is not None:
            check_at_least_zero("initial", initial)
            if tune == "weight_decay" and initial > highest:
                raise ValueError(f"initial must be at most highest, {highest!r}, got {initial!r}")
        self.groups = {"weights": "*weight"} if groups is None else dict(groups)
        if not self.groups:
            raise ValueError("groups must name a group, got none")
        rates = Rates(rate, beta, eta, gamma_1, gamma_2, c0, p, bound)
        super().__init__(rates, len(self.groups) if tune == "norm" else 0)
        self.tune = tune
        self.initial = initial
        self.rate = rate
        self.highest = highest
        self._x: Tensor | None = None

    def parameters(self, groups: list[ParameterGroup]) -> list[ParameterGroup]:
        """Leave the optimizer's groups; find the parameters of our own.

        Raises:
            ValueError: a pattern fits no parameter that is left.
        """
        named = (name for group in groups for name, _ in group["params"])
        known = {name_in_model(name): name for name in named}
        self._members: dict[str, list[str]] = {}
        for group, pattern in self.groups.items():
            check_patterns(f"groups.{group}", [pattern], known)
            chosen = [name for name in known if fits(name, [pattern])]
            self._members[group] = [known.pop(name) for name in chosen]
        return groups

    def begin(self, context: Context) -> None:
        """Keep the context, to record the hyperparameters."""
        self._context = context

    def regularised(self, gradient: Gradient, at: Gradient) -> Gradient:
        """With weight decay, where that is tuned."""
        if self.tune == "norm":
            return gradient
        return gradient + self._scaled(at, self._values(at))

    def constraint(self, theta: Gradient) -> tuple[Tensor, Gradient]:
        """The norms of the groups stay within their bounds."""
        norms = self._norms(theta)
        lengths = self._multiplier / norms.clamp(min=EPS)
        return norms - self._values(theta), self._scaled(theta, lengths)

    def move(self, step: Step, y: Gradient, theta: Gradient) -> None:
        """Move the hyperparameters; put weights and bounds into the cone."""
        x, alpha = self._values(y), step.learning_rates[0] * self.rate
        if self.tune == "weight_decay":
            slope = (self._norms(y).square() - self._norms(theta).square()) / 2
            self._x = (x - alpha * slope).clamp(0.0, self.highest)
        else:
            self._x = self._into_cones(step, x - alpha * self._multiplier)
        self._record(y, theta)

    def _into_cones(self, step: Step, x: Tensor) -> Tensor:
        """Shorten groups that are too long, and lengthen their bounds, until both agree."""
        members = [name for names in self._members.values() for name in names]
        weights = Gradient(step.master(members))
        norms = self._norms(weights)
        pairs = [
            onto_cone(norm, bound, self.rate)
            for norm, bound in zip(norms.tolist(), x.tolist(), strict=True)
        ]
        inside, bounds = torch.tensor(pairs, dtype=torch.float64).unbind(1)
        if bool((inside < norms).any()):
            step.edit(self._scaled(weights, inside / norms.clamp(min=EPS)))
        return bounds

    def _values(self, weights: Gradient) -> Tensor:
        """The hyperparameters, float64 of shape (groups,)."""
        if self._x is None:
            norms = self._norms(weights)
            start = norms if self.tune == "norm" else torch.zeros_like(norms)
            self._x = start if self.initial is None else torch.full_like(norms, self.initial)
        return self._x

    def _norms(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The length of each group, float64 of shape (groups,), on the CPU."""
        groups = self._members.values()
        return torch.stack(
            [Gradient({n: weights[n] for n in names}).norm().cpu() for names in groups]
        )

    def _scaled(self, weights: Gradient, factors: Tensor) -> Gradient:
        """Each group times its factor; what is in no group times 0."""
        factor = {
            name: value
            for names, value in zip(self._members.values(), factors.tolist(), strict=True)
            for name in names
        }
        return Gradient({name: value * factor.get(name, 0.0) for name, value in weights.items()})

    def _record(self, y: Gradient, theta: Gradient) -> None:
        assert self._x is not None
        found = dict(zip(self.groups, self._x.tolist(), strict=True))
        norms = dict(zip(self.groups, self._norms(y).tolist(), strict=True))
        self._context.log(
            {f"bilevel_hyperparam/{self.tune}/{name}": value for name, value in found.items()}
            | {f"bilevel_hyperparam/length/{name}": value for name, value in norms.items()}
            | {"bilevel_hyperparam/distance": (theta - y).norm()}
        )

    def state_dict(self) -> dict[str, Any]:
        """The hyperparameters, theta and the multipliers."""
        return {**super().state_dict(), "hyperparameters": self._x}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        super().load_state_dict(state)
        self._x = state["hyperparameters"]
