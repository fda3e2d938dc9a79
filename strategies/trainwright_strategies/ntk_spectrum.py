"""Eigenvalues of the empirical neural tangent kernel along training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.strategy import Batch, Context, Declares, ParameterGroup, Plan, Step, Strategy
from trainwright_objectives.options import check_whole
from trainwright_strategies.outputs import output_of
from trainwright_strategies.rate_ratios import rate_ratios


def tangent_kernel(
    outputs: Tensor, parameters: Sequence[Tensor], ratios: Sequence[float]
) -> Tensor:
    """The kernel of all outputs of n samples, divided by n; float64 of shape (n k, n k).

    Args:
        outputs: n samples times k numbers, differentiable by the parameters; n along dimension 0.
        parameters: which count.
        ratios: factor of each one's part.
    """
    flat = outputs.flatten()
    unit = torch.eye(len(flat), dtype=flat.dtype, device=flat.device)
    parts = torch.autograd.grad(
        flat, list(parameters), unit, is_grads_batched=True, allow_unused=True
    )
    kernel = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat.device)
    for part, ratio in zip(parts, ratios, strict=True):
        if part is not None:
            rows = part.flatten(1).double()
            kernel += ratio * (rows @ rows.T)
    return kernel / len(outputs)


def effective_rank(values: Tensor) -> float:
    """The exponential of the entropy of eigenvalues: how many of them share the trace."""
    share = values.clamp(min=0)
    total = share.sum()
    if total == 0:
        return 0.0
    share = share / total
    return float(torch.special.entr(share).sum().exp())


class NtkSpectrum(Strategy):
    """Probe: the eigenvalues of the neural tangent kernel, scaled as the learning rates are.

    For squared error its largest eigenvalue is that of the Gauss-Newton part of the Hessian:
    what ``sharpness`` measures, without the part that the residuals bring. In a network whose
    features do not move the spectrum stays as it was.

    Equation:
        K = J R J^T / n, with the Jacobian J of all k outputs of n samples by the parameters, and R
        the diagonal of rate / lr of each parameter
        effective rank = exp(entropy of the eigenvalues over their sum)

    Args:
        every: updates from one measurement to the next, at least 1.
        num_samples: n, the first training samples, always the same, at least 1.
        output: name of the model's output.

    Needs:
        float32, and memory for n k times the weights. Stand behind strategies that set rates.
        Every worker measures the same. Dropout uses masks of the update. It records
        ``ntk/top``, ``ntk/trace`` and ``ntk/effective_rank``, and all eigenvalues as the
        histogram ``ntk/eigenvalues`` of their decimal logarithm.

    Measured:
        One measurement of 32 samples with 10 outputs took as long as 70 updates of an MLP of
        width 64 (257 images, one busy CPU core). In the job of ``mup`` (3 seeds, 160 updates) the
        trace went from 25 to 60 at width 64 and from 24 to 78 at 256 under muP; with ``ntp`` to 12
        and 19: the wider the network, the more it stays as it was. The effective rank stayed
        within its spread everywhere.

    Source:
        L. Noci, A. Meterez, T. Hofmann, A. Orvieto, "Why do Learning Rates Transfer? Reconciling
        Optimization and Scaling Limits for Deep Learning", 2024, arXiv 2402.17457, and
        A. Jacot, F. Gabriel, C. Hongler, "Neural Tangent Kernel", 2018, arXiv 1806.07572. The
        effective rank is that of O. Roy, M. Vetterli, 2007.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True, precisions=("fp32",), zero_stages=(0, 1, 2))

    def __init__(
        self,
        every: Annotated[int, Field(ge=1)] = 20,
        num_samples: Annotated[int, Field(ge=1)] = 32,
        output: str = "logits",
    ) -> None:
        check_whole("every", every)
        check_whole("num_samples", num_samples)
        self.every = every
        self.num_samples = num_samples
        self.output = output

    def plan(self, plan: Plan) -> Plan:
        """Note the rate."""
        self._lr = plan.optimizer.get("lr")
        return plan

    def parameters(self, groups: list[ParameterGroup]) -> list[ParameterGroup]:
        """Note the parameters, and the rate of each over that of the job."""
        ratios = rate_ratios(groups, self._lr)
        self._parameters: list[nn.Parameter] = []
        self._ratios: list[float] = []
        for group, ratio in zip(groups, ratios, strict=True):
            self._parameters += [parameter for _, parameter in group["params"]]
            self._ratios += [ratio] * len(group["params"])
        return groups

    def begin(self, context: Context) -> None:
        """Take the samples; while a job is checked there are none."""
        self._context = context
        self._batch: Batch = {}
        if context.data is not None:
            batch = next(iter(context.data.batches("train", self.num_samples)))
            self._batch = {name: value.to(context.device) for name, value in batch.items()}

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Measure before the update when it is time."""
        if step.index % self.every == 0 and self._batch:
            outputs = output_of(step.forward(self._batch), self.output)
            values = torch.linalg.eigvalsh(tangent_kernel(outputs, self._parameters, self._ratios))
            self._context.log(
                {
                    "ntk/top": values[-1],
                    "ntk/trace": values.sum(),
                    "ntk/effective_rank": effective_rank(values),
                }
            )
            self._context.log_histogram("ntk/eigenvalues", values[values > 0].log10())
        take()
