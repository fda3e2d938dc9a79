"""Deaths at joins against a union-find that keeps the members of each part."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright_objectives import elder_rule
from trainwright_objectives.elder_rule import deaths


def slow_deaths(pairs: np.ndarray, time: np.ndarray, age: np.ndarray) -> list[int]:
    parts = [{member} for member in range(len(age))]
    died = [-1] * len(time)
    for at in np.argsort(time):
        one, other = (next(part for part in parts if member in part) for member in pairs[:, at])
        if one is other:
            continue
        eldest = [min(part, key=lambda member: age[member]) for part in (one, other)]
        died[at] = max(eldest, key=lambda member: age[member])
        parts = [part for part in parts if part is not one and part is not other]
        parts.append(one | other)
    return died


@given(
    count=st.integers(1, 40),
    joins=st.integers(0, 120),
    seed=st.integers(0, 2**31),
    few=st.sampled_from([0, 10, 300]),
)
@settings(max_examples=200, deadline=None)
def test_deaths(count: int, joins: int, seed: int, few: int) -> None:
    random = np.random.default_rng(seed)
    pairs, time = random.integers(0, count, (2, joins)), random.permutation(joins) - joins // 2
    age = random.permutation(count) - count // 2
    with mock.patch.object(elder_rule, "_FEW", few):
        assert deaths(pairs, time, age).tolist() == slow_deaths(pairs, time, age)


@pytest.mark.parametrize("rounds", [1, 8])
def test_a_long_path(rounds: int) -> None:
    """Joined from one end to the other, so that nearly all goes one by one."""
    count = 500
    pairs, age = np.stack([np.arange(count - 1), np.arange(1, count)]), np.arange(count)[::-1]
    with mock.patch.object(elder_rule, "_ROUNDS", rounds):
        assert deaths(pairs, np.arange(count - 1), age).tolist() == list(range(count - 1))
