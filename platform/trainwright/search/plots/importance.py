"""How much of what trials differ by is explained by each parameter alone: functional ANOVA.

Source: F. Hutter, H. Hoos and K. Leyton-Brown, An efficient approach for assessing hyperparameter
importance, ICML 2014; computed by Optuna.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwright.search.plots.rows import Metric, NothingToSeeError, TrialRow, Valued, valued
from trainwright.search.plots.scales import wrapped
from trainwright.search.plots.style import PALE
from trainwright.search.space.options import Options
from trainwright.search.space.reading import Parameter
from trainwright.search.space.space import Space
from trainwright.tracking.canvas import TRAIN, Panel, is_wide

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST_TRIALS = 8
"""Fewer say nothing about more than one parameter."""
MOST_TRIALS = 120
"""More are thinned: the time grows faster than their number, the answer hardly changes."""
ENOUGH = 10
"""Trials for each parameter, below which the picture says that it is rough."""

_TREES = 16
_HALVES = 4


@dataclass(frozen=True)
class Share:
    """The part of the variance that one parameter explains alone.

    Attributes:
        parameter: the parameter.
        share: in [0, 1]; what is missing to 1 over all parameters is due to several together.
        spread: standard deviation of the share over random halves of the trials.
        num_trials: trials it was reckoned from: for a conditional parameter those that have it.
    """

    parameter: Parameter
    share: float
    spread: float
    num_trials: int


def shares_of(rows: Sequence[TrialRow], space: Space, metric: Metric) -> list[Share]:
    """The share of each parameter that has taken two values, largest first.

    A conditional parameter is judged among the trials in which it is active, so that shares of
    different conditions do not add up.

    Args:
        rows: trials; those with a value count, whether finished or stopped on their way.
        space: their space.
        metric: what they differ by; its logarithm, where it spans two decades.

    Raises:
        NothingToSeeError: too few trials, or all with the same value.
    """
    known = valued(rows, metric)
    if len(known) < FEWEST_TRIALS:
        raise NothingToSeeError(f"{len(known)} trials have a value, and it takes {FEWEST_TRIALS}")
    if len({one.value for one in known}) == 1:
        raise NothingToSeeError("all trials have the same value")
    found: list[Share] = []
    for condition in dict.fromkeys(p.condition for p in space.parameters):
        wanted = [p for p in space.parameters if p.condition == condition]
        among = [one for one in known if wanted[0].name in one.row.assignment]
        if len(among) >= FEWEST_TRIALS:
            found += _shares(among, space, wanted)
    return sorted(found, key=lambda share: -share.share)


def _shares(known: Sequence[Valued], space: Space, wanted: Sequence[Parameter]) -> list[Share]:
    """The shares of some parameters among trials that all have them."""
    import numpy as np

    thinned = known[:: -(-len(known) // MOST_TRIALS)]
    active = [p for p in space.parameters if all(p.name in o.row.assignment for o in thinned)]
    varied = [p for p in active if len({repr(o.row.assignment[p.name]) for o in thinned}) > 1]
    whole = _variances(thinned, varied)
    rng = np.random.default_rng(0)
    halves = [
        _variances([thinned[i] for i in rng.permutation(len(thinned))[::2]], varied)
        for _ in range(_HALVES)
    ]
    return [
        Share(p, whole[p.name], statistics.stdev(half[p.name] for half in halves), len(known))
        for p in wanted
        if p in varied
    ]


def _variances(known: Sequence[Valued], parameters: Sequence[Parameter]) -> dict[str, float]:
    """Parameter name -> share of the variance, by a random forest fitted to the trials."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    values = [one.value for one in known]
    if is_wide(values):
        values = [math.log(value) for value in values]
    if not parameters or len(set(values)) == 1:
        return {p.name: 0.0 for p in parameters}
    study = optuna.create_study()
    distributions = {p.name: _distribution(p) for p in parameters}
    for one, value in zip(known, values, strict=True):
        params = {p.name: _encoded(p, one.row.assignment[p.name]) for p in parameters}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        )
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, max_depth=16, seed=0)
    found = evaluator.evaluate(study, params=list(distributions))
    return {name: float(share) for name, share in found.items()}


def _distribution(parameter: Parameter) -> BaseDistribution:
    """Numbers by their place on the line of the domain, where draws are uniform."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(parameter.domain, Options):
        return CategoricalDistribution(range(parameter.domain.count))
    return FloatDistribution(0.0, 1.0)


def _encoded(parameter: Parameter, value: Any) -> float | int:
    domain = parameter.domain
    return domain.index(value) if isinstance(domain, Options) else domain.unit(value)


def draw_importance(panel: Panel, shares: Sequence[Share], num_trials: int) -> None:
    """A bar for each parameter with the spread over halves of the trials.

    Args:
        panel: where.
        shares: largest first, at least one.
        num_trials: trials that have a value.
    """
    axes = panel.axes
    places = range(len(shares), 0, -1)
    axes.barh(
        places,
        [share.share for share in shares],
        xerr=[share.spread for share in shares],
        color=[TRAIN if share.parameter.condition is None else PALE for share in shares],
        error_kw={"ecolor": "#555555", "elinewidth": 1.0, "capsize": 2.5},
        height=0.66,
    )
    axes.set_yticks(places, [_named(share) for share in shares], fontsize=8)
    axes.set_xlim(0, min(1.05, max(0.1, *(1.1 * (s.share + s.spread) for s in shares))))
    axes.grid(False, axis="y")
    if any(share.parameter.condition is not None for share in shares):
        axes.barh([], [], color=PALE, label="* among the trials that have it")
    if num_trials < ENOUGH * len(shares):
        axes.text(
            0.98,
            0.03,
            f"{num_trials} trials for {len(shares)} parameters: rough",
            transform=axes.transAxes,
            ha="right",
            fontsize=8,
            color="#8f2d2d",
        )


def _named(share: Share) -> str:
    name = share.parameter.name
    return wrapped(name if share.parameter.condition is None else f"{name} *", 34)
