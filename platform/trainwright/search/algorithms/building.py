"""The algorithm that a sweep names."""

from __future__ import annotations

from trainwright.search.algorithms.listed import Listed, draws, grid
from trainwright.search.algorithms.protocol import Algorithm
from trainwright.search.goals import Judge
from trainwright.search.space.sampling import Sampler
from trainwright.search.spec import GridSpec, RandomSpec, SweepJob, TpeSpec


def make_algorithm(spec: SweepJob, sampler: Sampler, judge: Judge) -> Algorithm:
    """The algorithm of a sweep.

    Args:
        spec: the sweep.
        sampler: its space, with the constraints and the seed.
        judge: what is good.
    """
    if isinstance(spec.algorithm, TpeSpec):
        from trainwright.search.algorithms.tpe import Tpe

        return Tpe(spec.algorithm, sampler, judge)
    if isinstance(spec.algorithm, GridSpec):
        return Listed(grid(sampler))
    assert isinstance(spec.algorithm, RandomSpec)
    return Listed(draws(sampler))
