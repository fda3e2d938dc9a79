"""What drawing samples by their scores does to the variance of the gradient, along training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.durations import Duration
from trainwright.strategy import Batch, Context, Declares, Step, Strategy
from trainwright_objectives.options import check_whole
from trainwright_strategies.importance import (
    check_label_smoothing,
    check_tau,
    correlation,
    residuals,
    smoothed,
    trace_variance,
)
from trainwright_strategies.outputs import column_of, output_of
from trainwright_strategies.supernets.protocol import Supernet, find_supernet, on_path
from trainwright_strategies.supernets.space import Path


def gradient_moments(
    logits: Tensor, by_logits: Tensor, parameters: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Squared norms of the samples' gradients, and the sum of these gradients.

    Args:
        logits: shape (B, C), differentiable by the parameters.
        by_logits: the gradient of each sample's loss by its own logits, shape (B, C).
        parameters: by which to differentiate; those that ``logits`` do not depend on have zeros.

    Returns:
        float64 of shape (B,), and float64 of shape (number of all elements,).
    """
    num = len(logits)
    directions = logits.new_zeros(num, *logits.shape)
    directions[range(num), range(num)] = by_logits.to(logits)
    found = torch.autograd.grad(
        logits, list(parameters), directions, is_grads_batched=True, allow_unused=True
    )
    squares = torch.zeros(num, dtype=torch.float64, device=logits.device)
    sums = []
    for parameter, part in zip(parameters, found, strict=True):
        if part is None:
            sums.append(torch.zeros_like(parameter, dtype=torch.float64).flatten())
            continue
        gradients = part.flatten(1).double()
        squares += gradients.square().sum(1)
        sums.append(gradients.sum(0))
    return squares, torch.cat(sums)


def variances(
    squares: Tensor, scores: Tensor, mean_square: Tensor, tau: float
) -> dict[str, Tensor]:
    """The variance under three ways to draw, and what there is to gain.

    Args:
        squares: squared norms of the samples' gradients, float64 of shape (n,).
        scores: of the samples, shape (n,).
        mean_square: squared norm of the mean gradient.
        tau: how far the scores are followed.

    Returns:
        ``uniform``, ``weighted`` and ``optimal`` variance; ``reduction`` of the weighted one
        against the uniform one, ``excess`` over the optimal one, ``correlation`` of scores and
        norms.
    """
    norms = squares.sqrt()
    flat = torch.ones_like(norms)
    uniform, weighted, optimal = (
        trace_variance(squares, mean_square, smoothed(weights if weights.any() else flat, share))
        for weights, share in ((flat, 1.0), (scores, tau), (norms, 1.0))
    )
    least = torch.finfo(squares.dtype).tiny
    return {
        "uniform": uniform,
        "weighted": weighted,
        "optimal": optimal,
        "reduction": 1 - weighted / uniform.clamp(min=least),
        "excess": weighted / optimal.clamp(min=least) - 1,
        "correlation": correlation(scores.double(), norms),
    }


class SupernetGradientVariance(Strategy):
    """Probe: the variance of the gradient, if samples were drawn by their scores and weighted.

    The gradient is estimated from one sample, which is drawn with probability p_i and divided by
    n p_i, so that its expectation is right; the variance of larger batches is that over their
    size. Uniform draws are held against those by the scores of ``data_importance_sampling``, as
    the present model gives them, and against the best that there are.

    Equation:
        variance = sum_i ||g_i||^2 / (n^2 p_i) - ||g||^2, with the gradient g_i of the
        cross-entropy of sample i by all weights, and the mean g
        uniform: p_i = 1 / n; weighted: p_i = tau * s_i / sum_j s_j + (1 - tau) / n with
        s_i = || softmax(z_i) - y_i ||; optimal: p_i = ||g_i|| / sum_j ||g_j||

    Args:
        every: from one measurement to the next, before updates; the first is before training.
        tau: in [0, 1]; how far draws follow the scores.
        num_samples: n, the first training samples; null: all of them.
        batch_size: samples in a pass, at least 1. A pass holds so many times the weights.
        num_paths: of a supernet, at least 1: so many paths are drawn uniformly once, and what is
            recorded is the mean over them. Other models have one.
        output: name of the model's output, logits of shape (B, C).
        target: column of classes, or of probabilities of shape (B, C).
        label_smoothing: that of the objective, in [0, 1).

    Needs:
        float32, and a loss that is, or is near, cross-entropy. Samples are seen without
        augmentation. The model is in training mode, so that batch normalisation and dropout make a
        sample's gradient depend on its pass. Workers share the passes. It records
        ``gradient_variance/uniform``, ``weighted`` and ``optimal``, ``reduction`` (1 - weighted /
        uniform), ``excess`` (weighted / optimal - 1) and ``correlation`` of scores and norms.

    Measured:
        A measurement of 600 digits took as long as 30 updates of an MLP of width 32 (50 images,
        one busy CPU core). What it shows is told by ``data_importance_sampling``.

    Source:
        S. Lu, Y. Hu, L. Yang, Z. Sun, J. Mei, J. Tan, C. Song, "PA&DA: Jointly Sampling PAth and
        DAta for Consistent NAS", CVPR 2023, arXiv 2302.14772; A. Katharopoulos, F. Fleuret, "Not
        All Samples Are Created Equal", 2018, arXiv 1803.00942.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True, precisions=("fp32",), zero_stages=(0, 1, 2))

    def __init__(
        self,
        every: Duration = Duration(1, "epochs"),  # noqa: B008
        tau: Annotated[float, Field(ge=0, le=1)] = 1.0,
        num_samples: Annotated[int, Field(ge=2)] | None = None,
        batch_size: Annotated[int, Field(ge=1)] = 50,
        num_paths: Annotated[int, Field(ge=1)] = 1,
        output: str = "logits",
        target: str = "target",
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        check_whole("batch_size", batch_size)
        check_whole("num_paths", num_paths)
        check_whole("num_samples", num_samples or 2, 2)
        check_tau("tau", tau)
        check_label_smoothing(label_smoothing)
        self.every = every
        self.tau = tau
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.num_paths = num_paths
        self.output = output
        self.target = target
        self.label_smoothing = label_smoothing
        self._supernet: Supernet | None = None
        self._paths: list[Path] = []

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Find out whether it is a supernet, and draw its paths.

        Raises:
            ValueError: there are several paths to measure and no supernet.
        """
        if self.num_paths > 1 or any(isinstance(part, Supernet) for part in model.modules()):
            self._supernet = find_supernet(model)
            generator = context.rng("supernet_gradient_variance")
            drawn = (self._supernet.space.random(generator) for _ in range(self.num_paths))
            self._paths = list(drawn)
        return model

    def begin(self, context: Context) -> None:
        """Note the run."""
        self._context = context

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Measure before the update when it is time."""
        if step.index % self.every.in_steps(self._context.steps_per_epoch) == 0:
            found = self._measured(step)
            self._context.log({f"gradient_variance/{name}": v for name, v in found.items()})
        take()

    def _measured(self, step: Step) -> dict[str, Tensor]:
        """The mean over the paths."""
        if self._supernet is None:
            return self._of_path(step)
        every = []
        for path in self._paths:
            with on_path(self._supernet, path):
                every.append(self._of_path(step))
        return {name: torch.stack([one[name] for one in every]).mean() for name in every[0]}

    def _of_path(self, step: Step) -> dict[str, Tensor]:
        parameters = [p for p in step.model.parameters() if p.requires_grad]
        size = sum(p.numel() for p in parameters)
        device = self._context.device
        rows = [torch.zeros(0, 2, dtype=torch.float64, device=device)]
        total = torch.zeros(1, size, dtype=torch.float64, device=device)
        for batch in self._own_batches():
            logits = output_of(step.forward(batch), self.output)
            by_logits = residuals(logits, column_of(batch, self.target), self.label_smoothing)
            squares, summed = gradient_moments(logits, by_logits, parameters)
            scores = torch.linalg.vector_norm(by_logits, dim=1).double()
            rows.append(torch.stack([squares, scores], dim=1))
            total += summed
        everyone = self._context.gather(torch.cat(rows))
        mean = self._context.gather(total).sum(0) / len(everyone)
        squares, scores = everyone.unbind(1)
        return variances(squares, scores, mean.square().sum(), self.tau)

    def _own_batches(self) -> Iterator[Batch]:
        """This worker's batches of the training samples that count; none while a job is checked."""
        context = self._context
        if context.data is None:
            return
        left = self.num_samples or math.inf
        for number, batch in enumerate(context.data.batches("train", self.batch_size)):
            if left <= 0:
                return
            size = int(min(left, len(batch["sample_id"])))
            left -= size
            if number % context.world_size == context.rank:
                yield {name: value[:size].to(context.device) for name, value in batch.items()}
