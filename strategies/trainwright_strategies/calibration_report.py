"""How well confidence tells whether a prediction is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from trainwright.data.random import key
from trainwright.strategy import (
    Batch,
    Context,
    Declares,
    Evaluation,
    Outputs,
    SampleRandom,
    Strategy,
)
from trainwright_objectives.correctness_aware_calibration import confidence_of, squared_gap
from trainwright_strategies.auroc import auroc
from trainwright_strategies.layers.attack import attacked_column
from trainwright_strategies.layers.views import rotated


def expected_calibration_error(confidence: Tensor, correct: Tensor, n_bins: int) -> float:
    """The mean distance of confidence and accuracy over equal bins (low, high].

    Args:
        confidence: shape (N,), in [0, 1]; exactly 0 falls into the first bin.
        correct: shape (N,), bool.
        n_bins: number of bins.
    """
    bins = (confidence * n_bins).ceil().long().clamp(1, n_bins) - 1
    gaps = torch.zeros(n_bins, dtype=torch.float64)
    gaps.index_add_(0, bins, confidence.double() - correct.double())
    return float(gaps.abs().sum() / len(confidence))


def kolmogorov_smirnov_error(confidence: Tensor, correct: Tensor) -> float:
    """The largest distance between summed confidence and summed correctness, samples in order.

    Samples of equal confidence count together, so that their order does not matter.
    """
    ordered, order = confidence.double().sort()
    gaps = (ordered - correct.double()[order]).cumsum(0)
    last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)])
    return float(gaps[last].abs().max() / len(confidence))


class CalibrationReport(Strategy):
    """Probe: errors of calibration at each evaluation, also on inputs that have shifted.

    Adds ``ece``, ``brier``, ``ks`` and ``auroc`` of the confidence, and with a shift the same under
    ``shifted/`` together with ``shifted/accuracy``.

    Equation:
        c = max(softmax(logits)), r = 1[prediction is right];
        ece = sum over bins of |sum of (c - r) in the bin| / N; brier = mean (c - r)^2;
        ks = max over k of |sum of (c - r) over the k least confident| / N;
        auroc = probability that a right prediction has the larger c.

    Args:
        n_bins: equal bins of the confidence for ``ece``, at least 1. Suggested: 25; 15.
        rotation: degrees by which shifted images are turned; 0 for none.
        noise: standard deviation of normal noise on shifted inputs, at least 0, the same for a
            sample at each evaluation.
        column: the shifted input; null where the data has a single column of floating-point
            numbers.
        output: the model's output that holds the logits.
        target: the column of class indices.

    Needs:
        A validation or test split. ``predict`` hooks of other strategies take part. All
        confidences of the split are gathered on every worker. While all predictions are right, or
        none is, there is no ``auroc``, and 0.5 stands for it.

    Measured:
        The cost of a shift is one further pass over the evaluated samples; that of the measures
        is below it. Training is left bit for bit as it is.

    Source:
        Expected calibration error: M. P. Naeini, G. Cooper, M. Hauskrecht, 2015 (AAAI), with the
        signed sum per bin; Kolmogorov-Smirnov error: K. Gupta and others, 2021, arXiv 2006.12800;
        the set of measures as in Y. Liu and others, 2024, arXiv 2404.13016.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True)

    def __init__(
        self,
        n_bins: Annotated[int, Field(ge=1)] = 25,
        rotation: float = 0.0,
        noise: Annotated[float, Field(ge=0)] = 0.0,
        column: str | None = None,
        output: str = "logits",
        target: str = "target",
    ) -> None:
        if n_bins < 1:
            raise ValueError(f"n_bins must be at least 1, got {n_bins!r}")
        if noise < 0:
            raise ValueError(f"noise must be at least 0, got {noise!r}")
        self.n_bins = n_bins
        self.rotation = rotation
        self.noise = noise
        self.column = column
        self.output = output
        self.target = target

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Confidence against correctness, of the samples as they are and shifted."""
        seen: dict[str, list[tuple[Tensor, Tensor]]] = {"": []}
        for batch, outputs, counted in evaluation.passes():
            found = {"": outputs}
            if self.rotation or self.noise:
                found["shifted/"] = evaluation.forward(self._shifted(batch, evaluation.context))
            for prefix, given in found.items():
                size = len(batch[self.target]) if counted else 0
                seen.setdefault(prefix, []).append(self._told(batch, given, size))
        return {
            f"{prefix}{name}": value
            for prefix, parts in seen.items()
            for name, value in self._measures(prefix, parts, evaluation.context).items()
        }

    def _told(self, batch: Batch, outputs: Outputs, size: int) -> tuple[Tensor, Tensor]:
        logits = outputs[self.output]
        correct = logits.argmax(dim=1) == batch[self.target]
        return confidence_of(logits)[:size], correct[:size]

    def _measures(
        self, prefix: str, parts: list[tuple[Tensor, Tensor]], context: Context
    ) -> dict[str, float]:
        confidence, correct = (
            context.gather(torch.cat(list(one))).cpu() for one in zip(*parts, strict=True)
        )
        ranked = auroc(confidence, correct)
        found = {
            "ece": expected_calibration_error(confidence, correct, self.n_bins),
            "brier": float(squared_gap(confidence, correct).mean()),
            "ks": kolmogorov_smirnov_error(confidence, correct),
            "auroc": 0.5 if math.isnan(ranked) else ranked,
        }
        return {**found, "accuracy": float(correct.float().mean())} if prefix else found

    def _shifted(self, batch: Batch, context: Context) -> dict[str, Tensor]:
        name = attacked_column(batch, self.column)
        x = batch[name]
        if self.rotation:
            x = rotated(x, self.rotation)
        if self.noise:
            random = SampleRandom(key(context.seed, "calibration_report"), batch["sample_id"])
            x = x + self.noise * random.normal(tuple(x.shape[1:])).to(x)
        return {**batch, name: x}
