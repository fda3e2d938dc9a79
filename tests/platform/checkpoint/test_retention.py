from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.checkpoint.manifest import CheckpointName
from trainwright.checkpoint.retention import Candidate, rank_by_score, removable


def valid(step: int, attempt: int = 1, score: float | None = None, higher: bool = False):
    return Candidate(CheckpointName(attempt, step), "valid", score, higher)


def steps(names: list[CheckpointName]) -> list[int]:
    return [name.step for name in names]


@pytest.mark.parametrize(
    ("last", "best", "removed"),
    [
        (1, 0, [1, 2, 3]),
        (2, 0, [1, 2]),
        (1, 1, [1, 3]),
        (1, 2, [3]),
        (1, 9, []),
        (9, 0, []),
        (0, 0, [1, 2, 3]),
    ],
)
def test_last_and_best(last: int, best: int, removed: list[int]) -> None:
    candidates = [valid(1, score=0.2), valid(2, score=0.1), valid(3, score=0.3), valid(4)]
    assert steps(removable(candidates, CheckpointName(1, 4), last, best)) == removed


def test_direction_ties_and_nan() -> None:
    scores = [(1, 0.5), (2, 0.9), (3, 0.9), (4, math.nan), (5, math.inf)]
    for higher, order in [(True, [5, 2, 3, 1]), (False, [1, 2, 3, 5])]:
        candidates = [valid(step, score=score, higher=higher) for step, score in scores]
        assert steps(rank_by_score(candidates)) == order
    assert rank_by_score([valid(1)]) == []


def test_a_stale_attempt_removes_nothing() -> None:
    candidates = [valid(100), valid(200), valid(300), valid(150, attempt=2)]
    assert removable(candidates, CheckpointName(1, 300), 1, 0) == []


names = st.builds(CheckpointName, st.integers(1, 3), st.integers(1, 6))
candidates_by_name = st.dictionaries(
    names,
    st.tuples(
        st.sampled_from(["valid", "damaged", "unfinished"]), st.none() | st.floats(allow_nan=True)
    ),
    min_size=1,
)


@given(candidates_by_name, st.integers(0, 3), st.integers(0, 3), st.data())
def test_promises_of_retention(found, last: int, best: int, data: st.DataObject) -> None:
    candidates = [Candidate(name, *rest) for name, rest in found.items()]
    whole = sorted(c.name for c in candidates if c.condition == "valid")
    if not whole:
        return
    committed = data.draw(st.sampled_from(whole))
    removed = removable(candidates, committed, last, best)
    assert whole[-1] not in removed
    assert committed not in removed
    for name in removed:
        if found[name][0] == "unfinished":
            assert name.attempt < committed.attempt or name.step < committed.step
        else:
            assert name.step <= committed.step
    left = [name for name in whole if name not in removed]
    assert len(left) >= min(max(1, last), len(whole))
    assert set(rank_by_score([c for c in candidates if c.condition == "valid"])[:best]) <= set(left)
