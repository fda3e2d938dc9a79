from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trainwright.federated import Aggregator
from trainwright.federated.privacy import rules
from trainwright.federated.privacy.rules import (
    broken_by_aggregator,
    broken_rules,
    uncovered_parts,
)
from trainwright.federated.spec import FederationSpec

NOISY = {"clip": 1.0, "noise": 1.0}


def federation(privacy: Mapping[str, Any], **given: Any) -> FederationSpec:
    return FederationSpec.model_validate({"rounds": 3, "privacy": privacy, **given})


class Stacked(Aggregator):
    reduce = "stack"


class Uniform(Aggregator):
    weighting = "uniform"


@pytest.mark.parametrize(
    ("privacy", "given"),
    [
        ({}, {}),
        ({"clip": 1.0}, {"update_transforms": ["top_k"]}),
        (NOISY, {"update_transforms": ["quantize"]}),
        ({**NOISY, "max_epsilon": 3.0, "adaptive": True}, {}),
        ({**NOISY, "adaptive": True, "count_noise": 0.51}, {}),
        ({**NOISY, "where": "local"}, {"sampling": {"by": "samples"}}),
        ({"masked_sums": True}, {"cohort": 2}),
        ({"masked_sums": True}, {"cohort": 1.0}),
    ],
)
def test_what_goes_together(privacy: dict, given: dict) -> None:
    assert broken_rules(federation(privacy, **given)) == []


@pytest.mark.parametrize(
    ("privacy", "given", "path", "words"),
    [
        ({"noise": 1.0}, {}, "privacy.noise", "hides nobody whose update has no bound"),
        ({"clip": 1.0, "max_epsilon": 3.0}, {}, "privacy.max_epsilon", "infinite"),
        ({"adaptive": True, "noise": 1.0}, {}, "privacy.adaptive", "nothing to start from"),
        ({"adaptive": True, "clip": 1.0}, {}, "privacy.adaptive", "is for noise"),
        ({**NOISY, "adaptive": True, "where": "local"}, {}, "privacy.where", "adaptive"),
        ({**NOISY, "adaptive": True, "count_noise": 0.5}, {}, "privacy.count_noise", "above 0.5"),
        (NOISY, {"sampling": {"by": "samples"}}, "sampling.by", "large clients more likely"),
        ({"masked_sums": True}, {"update_transforms": ["top_k"]}, "update_transforms", "64 bits"),
        ({"masked_sums": True}, {"cohort": 1}, "cohort", "a single client"),
    ],
)
def test_what_does_not(privacy: dict, given: dict, path: str, words: str) -> None:
    problems = broken_rules(federation(privacy, **given))
    (problem,) = [problem for problem in problems if problem.path == f"federation.{path}"]
    assert words in str(problem)
    assert problem.mend or problem.allowed


def test_every_problem_is_told_at_once() -> None:
    broken = {"noise": 1.0, "adaptive": True, "where": "local", "masked_sums": True}
    assert len(broken_rules(federation(broken, cohort=1))) == 4


def test_the_accountant_is_asked_for_before_anything_starts(monkeypatch) -> None:
    monkeypatch.setattr(rules, "find_spec", lambda name: None)
    (problem,) = broken_rules(federation(NOISY))
    assert problem.mend == "pip install 'trainwright[privacy]'"
    assert broken_rules(federation({"clip": 1.0})) == []


@pytest.mark.parametrize(
    ("privacy", "aggregator", "words"),
    [
        ({"masked_sums": True}, Stacked(), "each single client, which masked_sums hide"),
        (NOISY, Stacked(), "central noise is added to their sum"),
        (NOISY, Aggregator(), "by the number of their samples"),
        (NOISY, Uniform(), None),
        ({**NOISY, "where": "local"}, Stacked(), None),
        ({**NOISY, "where": "local"}, Aggregator(), None),
        ({"masked_sums": True, "clip": 1.0}, Aggregator(), None),
    ],
)
def test_aggregators(privacy: dict, aggregator: Aggregator, words: str | None) -> None:
    problems = broken_by_aggregator(federation(privacy), aggregator)
    assert [words in str(problem) for problem in problems] == ([True] if words else [])
    assert all(problem.path == "federation.aggregator" for problem in problems)
    assert all(problem.got == "fedavg" for problem in problems)


def test_what_noise_does_not_hide() -> None:
    noisy = federation(NOISY)
    assert uncovered_parts(noisy, ["update"], []) == []
    parts, buffers = uncovered_parts(noisy, ["update", "control"], ["bn.running_mean"])
    assert (parts.path, parts.got) == ("federation.aggregator", "control")
    assert (buffers.path, buffers.got) == ("model", "bn.running_mean")
    assert uncovered_parts(federation({"clip": 1.0}), ["control"], ["bn.running_mean"]) == []
