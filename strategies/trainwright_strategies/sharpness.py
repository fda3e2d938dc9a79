"""The largest curvature of the loss along training, as the learning rate sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from trainwright.strategy import (
    Batch,
    Context,
    Declares,
    Gradient,
    ParameterGroup,
    Plan,
    Step,
    Strategy,
)
from trainwright_objectives.options import check_whole
from trainwright_strategies.rate_ratios import rate_ratios

Product = Callable[[Gradient], Gradient]
"""A symmetric matrix times a vector."""


class Top(NamedTuple):
    """An eigenvalue at the end of a spectrum.

    Attributes:
        value: the eigenvalue found.
        vector: of length 1.
        negative: whether the eigenvalue of largest magnitude is negative.
    """

    value: float
    vector: Gradient
    negative: bool


def power_iteration(product: Product, start: Gradient, iterations: int) -> Top:
    """The eigenvalue of largest magnitude, with its sign, by the Rayleigh quotient.

    Args:
        product: the matrix.
        start: not zero, and not orthogonal to the eigenvector.
        iterations: products, at least 1.
    """
    vector, value = start / start.norm(), 0.0
    for _ in range(iterations):
        image = product(vector)
        value, length = float(vector.dot(image)), image.norm()
        if length == 0:
            break
        vector = image / length
    return Top(value, vector, value < 0)


def lanczos(product: Product, start: Gradient, iterations: int) -> Top:
    """The largest eigenvalue, also where a negative one is larger in magnitude.

    Holds all vectors and makes each orthogonal to those before.

    Args:
        product: the matrix.
        start: not zero, and not orthogonal to the eigenvector.
        iterations: products, at least 1; the rank of the matrix is enough.
    """
    basis, diagonal, beside = [start / start.norm()], [], []
    for _ in range(iterations):
        image = product(basis[-1])
        diagonal.append(float(basis[-1].dot(image)))
        before = float(image.norm())
        for vector in (*basis, *basis):  # twice is enough
            image = image.axpy(-vector.dot(image), vector)
        length = float(image.norm())
        if length <= 1e-6 * before or len(diagonal) == iterations:
            break
        beside.append(length)
        basis.append(image / length)
    off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    small = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    values, vectors = torch.linalg.eigh(small + torch.diag(off, 1) + torch.diag(off, -1))
    vector = basis[0] * vectors[0, -1]
    for share, part in zip(vectors[1:, -1], basis[1:], strict=False):
        vector = vector.axpy(share, part)
    return Top(float(values[-1]), vector, bool(-values[0] > values[-1]))


def stability_limit(
    rate: float, momentum: float = 0.0, nesterov: bool = False, averaged: bool = False
) -> float:
    """The curvature above which steps on a quadratic grow.

    Args:
        rate: learning rate.
        momentum: share of the last step that is kept.
        nesterov: whether momentum looks ahead.
        averaged: momentum is a running mean of gradients, as in Adam, instead of a sum.

    Example:
        >>> stability_limit(0.1), round(stability_limit(0.1, 0.9), 6)
        (20.0, 38.0)
    """
    if averaged:
        rate = rate * (1 - momentum)
    if rate == 0:  # as at the start of a warmup
        return math.inf
    return 2 * (1 + momentum) / (rate * (1 + 2 * momentum if nesterov else 1))


def adam_preconditioner(square: Tensor, updates: int, beta2: float, eps: float) -> Tensor:
    """By what Adam multiplies each gradient, from its running mean of squares after updates."""
    return 1 / ((square / (1 - beta2**updates)).sqrt() + eps)


class Sharpness(Strategy):
    """Probe: the largest eigenvalue of the loss's Hessian, scaled as the learning rates are.

    Full-batch gradient descent is stable while the sharpness is below 2 / lr. In training it
    rises to that value (progressive sharpening) and stays around it (edge of stability). Where
    parameters have rates of their own, as with ``mup``, what counts is the Hessian scaled by
    them: then networks of every width have the same limit.

    Equation:
        sharpness = largest eigenvalue of R^(1/2) H R^(1/2), with the Hessian H of the mean
        training loss and R the diagonal of rate / lr of each parameter; unstable above 2 / lr,
        with momentum m above 2 (1 + m) / lr (Nesterov: divided by 1 + 2 m).
        preconditioned: R / (sqrt(v) + eps) in R's place, with Adam's mean of squares v, corrected
        as it does; unstable above 2 (1 + beta1) / ((1 - beta1) lr), which is 38 / lr

    Args:
        every: updates from one measurement to the next, at least 1. Suggested: 20 or more.
        iterations: products with the Hessian in each, at least 1. Suggested: 25; each begins
            with the vector of the last one.
        method: ``power`` finds the eigenvalue of largest magnitude, with its sign; ``lanczos``
            the largest one, and holds ``iterations`` vectors of the size of the model.
        num_samples: measure on so many of the first training samples, always the same, whole on
            every worker; null: on the samples of the update.
        preconditioned: scale by Adam's own factors too; for ``adam`` and ``adamw``. It measures
            from the first update on, before which there are none.

    Needs:
        float32, and a model that can be differentiated twice. Stand behind strategies that set
        rates. Weight decay is not part of the loss, and of Adam's own scaling nothing is counted
        unless ``preconditioned`` says so. Dropout uses the masks of the update. It records
        ``sharpness/top``, ``sharpness/edge`` (top over the limit: 1 is the edge) and
        ``sharpness/negative`` (1 where the eigenvalue of largest magnitude is negative).

    Measured:
        A product took 0.3 updates of an MLP of width 64, and 0.7 at width 256 (257 images, one
        CPU core, processor time), so that 25 in 10 updates took 1.7 and 2.7 times as long. What
        it shows is told by ``mup``. With Adam at rate 0.01 and ``preconditioned`` (MLP 64-64, tanh,
        squared error, all of 257 images in an update, 5 seeds) the edge is 0.99 of the limit after
        600 updates, between 0.85 and 1.15 with every seed.

    Source:
        L. Noci, A. Meterez, T. Hofmann, A. Orvieto, "Why do Learning Rates Transfer? Reconciling
        Optimization and Scaling Limits for Deep Learning", 2024, arXiv 2402.17457; the edge of
        stability is from J. Cohen et al., 2021, arXiv 2103.00065, and that of Adam from J. Cohen
        et al., 2022, arXiv 2207.14484.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True, second_backward=True, precisions=("fp32",))

    def __init__(
        self,
        every: Annotated[int, Field(ge=1)] = 20,
        iterations: Annotated[int, Field(ge=1)] = 25,
        method: Literal["power", "lanczos"] = "power",
        num_samples: Annotated[int, Field(ge=1)] | None = None,
        preconditioned: bool = False,
    ) -> None:
        counts = {"every": every, "iterations": iterations, "num_samples": num_samples or 1}
        for name, value in counts.items():
            check_whole(name, value)
        if method not in ("power", "lanczos"):
            raise ValueError(f"method must be power or lanczos, got {method!r}")
        self.every = every
        self.iterations = iterations
        self.method = method
        self.num_samples = num_samples
        self.preconditioned = preconditioned
        self._updates = 0
        self._top = power_iteration if method == "power" else lanczos
        self._vector: dict[str, Tensor] = {}
        self._fixed: list[Batch] | None = None

    def plan(self, plan: Plan) -> Plan:
        """Note rate and optimizer.

        Raises:
            ValueError: ``preconditioned`` without Adam.
        """
        options, name = plan.optimizer, plan.optimizer_name.lower()
        if self.preconditioned and name not in ("adam", "adamw"):
            raise ValueError(f"preconditioned is for adam and adamw, got {name}")
        self._lr = options.get("lr")
        beta1, self._beta2 = options.get("betas", (0.9, 0.999))
        self._eps = float(options.get("eps", 1e-8))
        momentum = beta1 if self.preconditioned else options.get("momentum", 0.0)
        self._limit = partial(
            stability_limit,
            momentum=float(momentum),
            nesterov=bool(options.get("nesterov", False)),
            averaged=self.preconditioned,
        )
        return plan

    def parameters(self, groups: list[ParameterGroup]) -> list[ParameterGroup]:
        """Note the rate of each parameter over that of the job."""
        self._ratios = rate_ratios(groups, self._lr)
        self._ratio_of = {
            name: ratio
            for group, ratio in zip(groups, self._ratios, strict=True)
            for name, _ in group["params"]
        }
        return groups

    def begin(self, context: Context) -> None:
        """Take the fixed samples."""
        self._context = context
        if self.num_samples is not None and context.data is not None:
            batch = next(iter(context.data.batches("train", self.num_samples)))
            self._fixed = [{name: value.to(context.device) for name, value in batch.items()}]

    def phase_begin(self, phase: str) -> None:
        """An optimizer begins anew."""
        self._updates = 0

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Measure before the update when it is time."""
        if step.index % self.every == 0 and (self._updates or not self.preconditioned):
            self._measure(step)
        take()
        self._updates += 1

    def _measure(self, step: Step) -> None:
        roots = self._roots(step)

        def scaled(vector: Gradient) -> Gradient:
            return Gradient({name: value * roots[name] for name, value in vector.items()})

        def product(vector: Gradient) -> Gradient:
            return scaled(step.hvp(scaled(vector), step.loss, self._fixed))

        top = self._top(product, self._start(step), self.iterations)
        self._vector = dict(top.vector)
        rate = step.learning_rates[0] / self._ratios[0]
        self._context.log(
            {
                "sharpness/top": top.value,
                "sharpness/edge": top.value / self._limit(rate),
                "sharpness/negative": float(top.negative),
            }
        )

    def _roots(self, step: Step) -> Mapping[str, Tensor | float]:
        """The root of what each parameter's gradient is multiplied by, over the job's rate."""
        roots = {name: math.sqrt(ratio) for name, ratio in self._ratio_of.items()}
        if not self.preconditioned:
            return roots
        squares = step.moments("exp_avg_sq", list(roots))
        return {
            name: roots[name]
            * adam_preconditioner(square, self._updates, self._beta2, self._eps).sqrt()
            for name, square in squares.items()
        }

    def _start(self, step: Step) -> Gradient:
        if not self._vector:
            generator = self._context.rng("sharpness")
            weights = step.master(list(self._ratio_of))
            self._vector = {
                n: torch.randn(w.shape, generator=generator) for n, w in weights.items()
            }
        return Gradient({n: v.to(self._context.device) for n, v in self._vector.items()})

    def state_dict(self) -> dict[str, Any]:
        """The eigenvector, with which the next measurement begins, and the optimizer's age."""
        return {"vector": dict(self._vector), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._vector = dict(state["vector"])
        self._updates = int(state["updates"])
