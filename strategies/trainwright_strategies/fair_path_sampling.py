"""One path of a supernet in each update, so that all operations are trained equally often."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator

from trainwright.data.random import key
from trainwright.strategy import Step
from trainwright_strategies.supernets.sampling import ONE_PATH, PathSampling
from trainwright_strategies.supernets.space import Path


def fair_paths(num_operations: int, edges: int, generator: Generator) -> list[Path]:
    """As many paths as there are operations, which have each operation once at every edge.

    Args:
        num_operations: O.
        edges: length of a path.
        generator: where the random numbers come from, on the CPU.
    """
    columns = [torch.randperm(num_operations, generator=generator) for _ in range(edges)]
    return [tuple(path) for path in torch.stack(columns, dim=1).tolist()]


class FairPathSampling(PathSampling):
    """Train one path of a supernet in each update, all operations equally often: FairNAS.

    Drawn uniformly, some operations of an edge are trained more often than others by chance, and
    look better afterwards. Here O updates in a row, as many as there are operations, have each
    operation once at every edge.

    Equation:
        path_e of the updates c * O, ..., c * O + O - 1: a random permutation of the operations,
        for each edge e on its own

    Needs:
        What ``uniform_path_sampling`` needs.

    Measured:
        Nothing.

    Source:
        X. Chu, B. Zhang, R. Xu, "FairNAS: Rethinking Evaluation Fairness of Weight Sharing Neural
        Architecture Search", ICCV 2021, arXiv 1907.01845. There the O paths see the same batch
        and their gradients make one update; here each has a batch and an update of its own, so
        that an update costs as much as with uniform paths.
    """

    declares = replace(PathSampling.declares, conflicts={"path_importance_sampling": ONE_PATH})

    def next_path(self, step: Step) -> Path:
        """The next of the present permutations."""
        turn, place = divmod(step.index, self.num_operations)
        seed = key(self._context.seed, "fair_path_sampling", turn) & (2**63 - 1)
        generator = torch.Generator().manual_seed(seed)
        return fair_paths(self.num_operations, self._supernet.space.edges, generator)[place]
