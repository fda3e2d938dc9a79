"""Every objective of the catalogue with every strategy on the loss: it trains, or is refused.

What may not happen is a job that passes validation and then fails in training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from conformance_table import OBJECTIVES, STRATEGIES

from trainwright.errors import InputError
from trainwright.strategy import Strategy
from trainwright.testing import Case, Rig

ON_THE_LOSS = [case for case in STRATEGIES if case.plugin.factory.loss is not Strategy.loss]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("combinations")) as rig:
        yield rig


def job_of(objective: Case, strategy: Case) -> dict[str, Any]:
    """Two updates of the objective's own job, with the strategy's options."""
    spec = {"name": strategy.name, "options": dict(strategy.options)}
    values = objective.job_with(objective.options)
    values["strategies"] = [*values.get("strategies", []), spec]
    values["training"] = {"steps": 2, "evaluate_every": "2 steps"}
    return values


@pytest.mark.filterwarnings("ignore:the dropout rate is 0")
@pytest.mark.parametrize(("objective", "strategy"), list(product(OBJECTIVES, ON_THE_LOSS)), ids=str)
def test_it_trains_or_is_refused_with_the_reason(objective: Case, strategy: Case, rig: Rig) -> None:
    values = job_of(objective, strategy)
    try:
        rig.prepare(values)
    except InputError as error:
        for problem in error.problems:
            raised = re.search(r"\b([A-Z]\w*Error): ", problem.message)
            assert raised is None or raised.group(1) == "ValueError", problem
    else:
        assert rig.train(values).steps >= 2  # a strategy in phases takes further ones
