"""Proposals of Optuna's tree-structured Parzen estimator.

It sees every parameter on the line of its domain, where draws are uniform, so that logarithms,
steps and normal distributions are what they are in the space. Branches are its conditional
parameters.

Source: J. Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011; for several
metrics Y. Ozaki et al., Multiobjective tree-structured Parzen estimator, JAIR 2022.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from trainwright.search.algorithms.listed import draws
from trainwright.search.goals import Judge
from trainwright.search.space.options import Options, identity
from trainwright.search.space.reading import Parameter
from trainwright.search.space.sampling import Sampler
from trainwright.search.space.space import Assignment
from trainwright.search.spec import TpeSpec
from trainwright.search.trials import JUDGED, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

MOST_POINTS = 64
"""Domains of at most so many values are told to Optuna as whole numbers, larger ones as a line."""


MOST_ASKS = 30
"""Proposals in a row that were known or violate a constraint, after which chance decides."""


class Tpe:
    """Proposes by a model of which values went with good results.

    Args:
        spec: its options.
        sampler: the space, its constraints and the seed.
        judge: what is good.
    """

    def __init__(self, spec: TpeSpec, sampler: Sampler, judge: Judge) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spec, self._sampler, self._judge = spec, sampler, judge
        self._study = optuna.create_study(
            directions=["maximize" if goal.highest else "minimize" for goal in judge.goals]
        )
        self._asked: dict[int, Any] = {}
        self._seen: set[str] = set()
        self._by_chance: Iterator[Assignment] | None = None
        self._has_begun = False

    def propose(self, number: int) -> Assignment | None:
        """See :class:`trainwright.search.algorithms.protocol.Algorithm`."""
        from optuna.trial import TrialState

        if self._sampler.space.size == len(self._seen):
            return None
        if not self._has_begun:
            self._has_begun = True
            self._study.sampler = _sampler(self._spec, self._sampler.seed, number)
        for _ in range(MOST_ASKS):
            asked = self._study.ask()
            assignment = self._sampler.space.assign(partial(_value_of, asked))
            if identity(assignment) not in self._seen and self._sampler.fulfils(assignment):
                self._seen.add(identity(assignment))
                self._asked[number] = asked
                return assignment
            self._study.tell(asked, state=TrialState.FAIL)
        # It insists on what is known already, or what cannot be: chance finds what else there is.
        self._by_chance = self._by_chance or draws(self._sampler)
        drawn = next((one for one in self._by_chance if identity(one) not in self._seen), None)
        if drawn is not None:
            self._seen.add(identity(drawn))
        return drawn

    def told(self, trial: Trial) -> None:
        """See :class:`trainwright.search.algorithms.protocol.Algorithm`."""
        import optuna
        from optuna.trial import TrialState

        self._seen.add(identity(trial.assignment))
        if not trial.has_ended:
            return
        values = self._values(trial)
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        asked = self._asked.pop(trial.number, None)
        if asked is not None:
            self._study.tell(asked, values, state=state)
            return
        active = [self._sampler.space.parameter(name) for name in trial.assignment]
        self._study.add_trial(
            optuna.trial.create_trial(
                params={p.name: _place_of(p, trial.assignment[p.name]) for p in active},
                distributions={p.name: _distribution(p) for p in active},
                values=values,
                state=state,
            )
        )

    def _values(self, trial: Trial) -> Sequence[float] | None:
        """What the model learns: a trial whose numbers were not finite is as bad as the worst."""
        values = self._judge.values(trial) if trial.state in JUDGED else None
        if values is not None or trial.state == "refused":
            return values
        known = [t.values for t in self._study.get_trials(deepcopy=False) if t.values]
        if not known:
            return None
        columns = zip(self._judge.goals, zip(*known, strict=True), strict=True)
        return [min(column) if goal.highest else max(column) for goal, column in columns]


def _sampler(spec: TpeSpec, seed: int, number: int) -> BaseSampler:
    """Optuna's sampler; one that goes on at a later trial does not draw the first ones again."""
    import numpy as np
    import optuna

    with warnings.catch_warnings():  # groups, that is conditional parameters, are experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
            n_startup_trials=spec.startup_trials,
            n_ei_candidates=spec.candidates,
            multivariate=spec.multivariate,
            group=spec.multivariate,
            # Trials under way count as poor, so that those beside them lie elsewhere.
            constant_liar=True,
        )


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    domain = parameter.domain
    if isinstance(domain, Options):
        return CategoricalDistribution([str(label) for label in domain.values()])
    if domain.count is not None and domain.count <= MOST_POINTS:
        return IntDistribution(0, domain.count - 1)
    return FloatDistribution(0.0, 1.0)


def _value_of(asked: Any, parameter: Parameter) -> Any:
    name, domain = parameter.name, parameter.domain
    if isinstance(domain, Options):
        label = asked.suggest_categorical(name, [str(label) for label in domain.values()])
        return next(value for value in domain.values() if str(value) == label)
    if domain.count is not None and domain.count <= MOST_POINTS:
        return list(domain.values())[asked.suggest_int(name, 0, domain.count - 1)]
    return domain.from_unit(asked.suggest_float(name, 0.0, 1.0))


def _place_of(parameter: Parameter, value: Any) -> Any:
    domain = parameter.domain
    if isinstance(domain, Options):
        return str(value)
    if domain.count is not None and domain.count <= MOST_POINTS:
        return list(domain.values()).index(value)
    return domain.unit(value)
