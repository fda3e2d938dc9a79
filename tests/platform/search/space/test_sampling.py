"""Random trials: a pure function of seed and number, within the constraints, crossed with grids."""

from __future__ import annotations

from itertools import islice

import pytest

from trainwright.errors import JobError
from trainwright.search.space import Sampler, Space, parse_constraints

SPACE = Space.parse(
    {
        "lr": {"loguniform": [1e-4, 1]},
        "objective": {"choice": ["ce", {"name": "z", "a": {"uniform": [0, 1]}}]},
        "width": {"int": [1, 64]},
    }
)
CROSSED = Space.parse(
    {"depth": {"grid": [1, 2, 4]}, "lr": {"uniform": [0, 1]}, "width": {"grid": [8, 16]}}
)


def test_a_trial_depends_on_seed_and_number_alone() -> None:
    sampler = Sampler(SPACE, 3)
    forward = [sampler.draw(number) for number in range(20)]
    assert [Sampler(SPACE, 3).draw(number) for number in reversed(range(20))] == forward[::-1]
    assert len({repr(trial) for trial in forward}) == 20
    assert Sampler(SPACE, 4).draw(0) != forward[0]
    assert all(SPACE.check(trial) is None for trial in forward)


def test_it_stays_what_it_was() -> None:
    """A sweep that was begun with another version goes on with the same trials."""
    assert Sampler(SPACE, 0).draw(0) == {
        "lr": pytest.approx(0.07669852466632228),
        "objective": "ce",
        "width": 26,
    }


def test_constraints_hold() -> None:
    lines = parse_constraints(["width * lr < 1", "a.b == 2 or objective == 'z'"])
    sampler = Sampler(SPACE, 0, lines, {"a": {"b": 1}})
    for number in range(50):
        trial = sampler.draw(number)
        assert sampler.fulfils(trial)
        assert trial["objective"] == "z"
        assert float(trial["width"] or 0) * float(trial["lr"] or 0) < 1  # type: ignore[arg-type]
    assert not sampler.fulfils({**trial, "width": 64, "lr": 1.0})


def test_every_combination_of_grids_is_tried_with_the_same_draws() -> None:
    sampler = Sampler(CROSSED, 0)
    trials = [sampler.draw(number) for number in range(18)]
    for block in range(3):
        part = trials[6 * block : 6 * block + 6]
        assert len({trial["lr"] for trial in part}) == 1
        assert [(trial["depth"], trial["width"]) for trial in part] == [
            (depth, width) for depth in (1, 2, 4) for width in (8, 16)
        ]
    assert len({trial["lr"] for trial in trials}) == 3


def test_combinations_that_no_draw_could_mend_are_left_out() -> None:
    sampler = Sampler(CROSSED, 0, parse_constraints(["depth * width <= 32", "lr < 0.5"]))
    assert len(sampler.combinations) == 5
    assert {"depth": 4, "width": 16} not in sampler.combinations
    trials = islice((sampler.draw(number) for number in range(10)), 10)
    assert [(t["depth"], t["width"]) for t in trials][:6] == [
        (1, 8), (1, 16), (2, 8), (2, 16), (4, 8), (1, 8),
    ]  # fmt: skip


def test_a_grid_of_sections_with_draws_inside() -> None:
    values = {"objective": {"grid": ["ce", {"name": "z", "a": {"uniform": [0, 1]}}]}}
    lines = parse_constraints(["objective.a < 0.5"])
    sampler = Sampler(Space.parse(values), 0, lines)
    assert len(sampler.combinations) == 2
    assert all(float(sampler.draw(n).get("objective[z].a", 0) or 0) < 0.5 for n in range(20))


def test_constraints_that_almost_nothing_fulfils() -> None:
    lines = parse_constraints(["lr > 2", "width < 33", "width > 0"])
    with pytest.raises(JobError) as caught:
        Sampler(SPACE, 0, lines).draw(0)
    first, second = caught.value.problems
    assert (first.path, second.path) == ("constraints.0", "constraints.1")
    assert "this one fails 1000 times" in first.message
    assert 400 < int(second.message.split()[-2]) < 600


def test_grids_of_which_no_combination_is_allowed() -> None:
    with pytest.raises(JobError, match="no combination of the grids of 6") as caught:
        Sampler(CROSSED, 0, parse_constraints(["depth > 4", "width < 16"])).draw(0)
    assert [problem.path for problem in caught.value.problems] == ["constraints.0", "constraints.1"]
