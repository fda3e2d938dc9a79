"""One path of a supernet in each update, drawn uniformly."""

from __future__ import annotations

from dataclasses import replace

import torch

from trainwright.strategy import Step
from trainwright_strategies.supernets.sampling import ONE_PATH, PathSampling
from trainwright_strategies.supernets.space import Path


class UniformPathSampling(PathSampling):
    """Train one path of a supernet in each update, drawn uniformly: single path one-shot.

    All architectures share their weights. An update trains those of one architecture, so that
    afterwards each can be evaluated with the weights that it inherits.

    Equation:
        path_e ~ uniform over the operations, for each edge e on its own

    Needs:
        A supernet: ``cell_supernet``, ``residual_supernet``, or a module with ``space``,
        ``path``, ``places`` and ``parameters_of``. All workers and micro-batches of an update
        have the same path. Weights that are not on it get a gradient of zeros: momentum and
        weight decay move them. Evaluation runs the supernet's own path; what others are worth
        is told by ``supernet_rank_correlation``. Stand before other strategies whose ``step``
        hook runs the model.

    Measured:
        Nothing: it is what other ways to draw paths are held against.

    Source:
        Z. Guo, X. Zhang, H. Mu, W. Heng, Z. Liu, Y. Wei, J. Sun, "Single Path One-Shot Neural
        Architecture Search with Uniform Sampling", ECCV 2020, arXiv 1904.00420.
    """

    declares = replace(
        PathSampling.declares,
        conflicts={"fair_path_sampling": ONE_PATH, "path_importance_sampling": ONE_PATH},
    )

    def next_path(self, step: Step) -> Path:
        """Drawn uniformly."""
        size = self.num_operations
        return self.drawn(torch.full((1, size), 1 / size, dtype=torch.float64))
