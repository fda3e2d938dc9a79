"""Paths of a space: the nearest name for one that is none, and the place of a trial's mistakes."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from trainwright.errors import MISSING, Problem
from trainwright.search.space import Assignment, Space, told, unknown_paths

BASE: dict[str, Any] = {
    "data": {"source": "digits"},
    "model": "mlp",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "strategies": ["ema"],
}


def space(*paths: str) -> Space:
    return Space.parse({path: {"int": [1, 2]} for path in paths})


class TestUnknownPaths:
    @pytest.mark.parametrize(
        ("path", "near"),
        [
            ("trainin.epochs", "training"),
            ("training.epoch", "epochs"),
            ("data.batchsize", "batch_size"),
            ("lr", "optimizer.lr"),
            ("foo", None),
        ],
    )
    def test_the_nearest_name_is_told(self, path: str, near: str | None) -> None:
        (found,) = unknown_paths(space(path), BASE)
        assert (found.path, found.nearest) == (f"space.{path}", near)
        assert found.allowed

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("optimizer.lr.x", "optimizer.lr is a single value and has no 'x' inside it"),
            ("strategies.1.decay", "strategies has only 1 entry"),
        ],
    )
    def test_paths_that_lead_nowhere(self, path: str, message: str) -> None:
        (found,) = unknown_paths(space(path), BASE)
        assert found.path == f"space.{path}"
        assert message in found.message

    def test_what_a_job_can_have(self) -> None:
        known = space(
            "optimizer.lr", "model.width", "training.epochs", "seed", "strategies.0.decay",
            "objective", "data.validation.fraction", "deepspeed.zero_optimization.stage",
        )  # fmt: skip
        assert unknown_paths(known, BASE) == []


class TestTold:
    SPACE = Space.parse(
        {
            "optimizer.lr": {"uniform": [0, 1]},
            "objective": {"choice": ["ce", {"name": "z", "a": {"uniform": [0, 1]}}]},
            "strategies": {"choice": [[], ["ema", {"name": "swa", "every": {"int": [1, 2]}}]]},
            "trainin.epochs": 3,
        }
    )
    CHOSEN: ClassVar[Assignment] = {"optimizer.lr": 0.5, "objective": "z", "strategies": "ema+swa"}

    @pytest.mark.parametrize(
        ("path", "place"),
        [
            ("optimizer.lr", "space.optimizer.lr"),
            ("optimizer.momentum", "optimizer.momentum"),
            ("objective", "space.objective.choice.1"),
            ("objective.a", "space.objective.choice.1.a"),
            ("objective.b", "space.objective.choice.1.b"),
            ("strategies.1.every", "space.strategies.choice.1.1.every"),
            ("strategies.0.decay", "space.strategies.choice.1.0.decay"),
            ("trainin", "space.trainin.epochs"),
            ("", ""),
        ],
    )
    def test_a_trials_mistake_stands_in_the_space(self, path: str, place: str) -> None:
        problem = Problem(path, "is wrong", MISSING, nearest="x")
        found = told(problem, self.SPACE, self.CHOSEN)
        assert (found.path, found.message, found.nearest) == (place, "is wrong", "x")
