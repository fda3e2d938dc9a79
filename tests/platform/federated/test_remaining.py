"""What is told of a federation's job beside the mistakes in its form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainwright.errors import Problem
from trainwright.federated.rules import remaining_problems

JOB: dict[str, Any] = {
    "kind": "federated",
    "name": "a",
    "data": {"source": "digits", "batch_size": 8},
    "model": "mlpp",
    "objective": "cross_entropy",
    "federation": {"rounds": 2, "rouns": 2, "aggregator": "fedavgg"},
}


def paths(values: dict[str, Any], *found: str) -> set[str]:
    problems = remaining_problems(values, Path(), [Problem(path, "is wrong") for path in found])
    return {problem.path for problem in problems}


def test_plugins_are_told_of_beside_an_unknown_key_in_their_own_section() -> None:
    assert paths(JOB, "federation.rouns") == {"model.name", "federation.aggregator.name"}


def test_a_section_that_cannot_be_read_without_its_mistakes_is_passed_over() -> None:
    federation = {"rounds": 0, "aggregator": "fedavgg"}
    assert paths({**JOB, "federation": federation}, "federation.rounds") == {"model.name"}
    assert paths({**JOB, "federation": 3}, "federation") == {"model.name"}


def test_nothing_is_told_twice() -> None:
    assert paths(JOB, "federation.rouns", "model") == {"federation.aggregator.name"}
