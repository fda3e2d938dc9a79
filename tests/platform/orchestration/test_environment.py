"""What Ray Train is told of a group of workers."""

from __future__ import annotations

import os

import pytest

from trainwright.orchestration.environment import MOST_POLLS_PER_S, of_a_group, told_of

LOOKS = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"
START = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"


@pytest.mark.parametrize("workers", [1, 2, 200, 201, 1024, 4096])
def test_the_controller_can_ask_all_workers_as_often_as_it_is_told(workers: int) -> None:
    told = of_a_group(workers)
    assert workers / float(told[LOOKS]) <= MOST_POLLS_PER_S
    assert float(told[LOOKS]) <= max(0.2, 4.096)
    assert float(told[START]) >= 20


def test_small_groups_are_looked_at_often() -> None:
    assert of_a_group(2) == {LOOKS: "0.2", START: "20"}


def test_each_group_is_told_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (LOOKS, START):
        monkeypatch.delenv(name, raising=False)
    for workers in (2, 4000):
        with told_of(workers):
            assert {name: os.environ[name] for name in (LOOKS, START)} == of_a_group(workers)
        assert LOOKS not in os.environ


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOOKS, "7")
    with told_of(4000):
        assert os.environ[LOOKS] == "7"
    assert os.environ[LOOKS] == "7"
