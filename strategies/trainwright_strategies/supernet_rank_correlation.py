"""How well a supernet ranks architectures, by inherited weights against a table of the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from scipy import stats
from torch import nn

from trainwright.data.random import key
from trainwright.plugins.markers import JobPath
from trainwright.strategy import Context, Declares, Evaluation, Strategy
from trainwright_objectives.options import check_whole
from trainwright_strategies.labelled_embeddings import accuracy
from trainwright_strategies.supernets.protocol import find_supernet, on_path
from trainwright_strategies.supernets.space import Path
from trainwright_strategies.supernets.truth import read_truth


def chosen(truth: Mapping[Path, float], num_paths: int | None, seed: int) -> list[Path]:
    """The paths to measure, in their order; ``num_paths`` of them at random, or all."""
    paths = sorted(truth)
    if num_paths is None or num_paths >= len(paths):
        return paths
    generator = torch.Generator().manual_seed(key(seed, "rank_correlation") & (2**63 - 1))
    places = torch.randperm(len(paths), generator=generator)[:num_paths]
    return [paths[place] for place in sorted(places.tolist())]


def kendall_tau(first: list[float], second: list[float]) -> float:
    """Kendall's tau-b of two rankings; 0 where one of them has only ties."""
    tau = float(stats.kendalltau(first, second).statistic)
    return 0.0 if math.isnan(tau) else tau


class SupernetRankCorrelation(Strategy):
    """Probe: how well a supernet ranks architectures: Kendall's tau against a table of the truth.

    At each evaluation the accuracy of every path of the table is measured with the weights that
    it inherits, and held against what the table says of it trained alone.

    Equation:
        tau_b = (concordant - discordant pairs) / sqrt(pairs not tied in one * pairs not tied in
        the other)

    Args:
        truth: CSV or parquet file with columns ``path`` and ``column``. A path is written
            ``1-0-3`` (indices of the operations), or as their names with ``|`` between.
        column: what the table says of a path: its accuracy, say.
        num_paths: measure so many of them, at least 2, drawn once by the job's seed; null: all.
        output: name of the model's output, scores of classes.
        target: column of the classes.

    Needs:
        A supernet. Batches of an evaluation are always the same, so that paths whose batch
        normalisation uses the statistics of the batch can be compared; running statistics are a
        mixture over paths, and tell little. It gives ``kendall_tau``, ``inherited_accuracy``, the
        mean over the paths, and ``inherited_best``, what the table says of the path that looks
        best.

    Measured:
        An evaluation takes as many times longer as there are paths.

    Source:
        M. G. Kendall, "A New Measure of Rank Correlation", Biometrika 1938; used so by
        X. Chu et al., "FairNAS", 2019, arXiv 1907.01845, and by PA&DA, arXiv 2302.14772.

    Raises:
        ValueError: the table or the model is not what is needed.
    """

    declares = Declares(probe=True)

    def __init__(
        self,
        truth: Annotated[str, JobPath()],
        column: str = "accuracy",
        num_paths: Annotated[int, Field(ge=2)] | None = None,
        output: str = "logits",
        target: str = "target",
    ) -> None:
        check_whole("num_paths", num_paths or 2, 2)
        self.truth = truth
        self.column = column
        self.num_paths = num_paths
        self.output = output
        self.target = target

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Find the supernet and read the table."""
        self._supernet = find_supernet(model)
        self._truth = read_truth(self.truth, self._supernet.space, self.column)
        self._paths = chosen(self._truth, self.num_paths, context.seed)
        return model

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Measure every path."""
        found = []
        for path in self._paths:
            with on_path(self._supernet, path):
                found.append(
                    accuracy(evaluation, self.output, self.target, lambda x: x.argmax(dim=1))
                )
        expected = [self._truth[path] for path in self._paths]
        best = max(range(len(found)), key=found.__getitem__)
        return {
            "kendall_tau": kendall_tau(found, expected),
            "inherited_accuracy": sum(found) / len(found),
            "inherited_best": expected[best],
        }
