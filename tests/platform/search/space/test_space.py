"""Spaces: parameters and their conditions, changes made of assignments, grids, checks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.errors import JobError, Problem
from trainwright.search.space import Space

BRANCHES = {
    "optimizer.lr": {"choice": [0.1, 0.5]},
    "objective": {
        "choice": [
            "cross_entropy",
            {"name": "z_loss", "a": {"int": [1, 3]}},
            {"name": "mix", "inner": {"choice": ["x", {"name": "y", "b": {"int": [7, 8]}}]}},
        ]
    },
}


def problems(values: Any) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        Space.parse(values)
    return caught.value.problems


class TestParameters:
    def test_written_order_with_parents_first(self) -> None:
        space = Space.parse(BRANCHES)
        assert [(p.name, p.condition) for p in space.parameters] == [
            ("optimizer.lr", None),
            ("objective", None),
            ("objective[z_loss].a", ("objective", "z_loss")),
            ("objective[mix].inner", ("objective", "mix")),
            ("objective[mix].inner[y].b", ("objective[mix].inner", "y")),
        ]

    @pytest.mark.parametrize(
        ("options", "labels"),
        [
            ([1, "a", None, True, 0.5], [1, "a", None, True, 0.5]),
            ([{"name": "z"}, "z"], ["z#0", "z"]),
            ([{"name": "z", "a": 1}, {"name": "z", "a": 2}, "y"], ["z#0", "z#1", "y"]),
            ([[], ["ema"], [{"name": "swa"}, "ema"]], ["none", "ema", "swa+ema"]),
            ([[16, 0.5], [None]], ["[16, 0.5]", "[none]"]),
            ([[[1], 2], [1, "a"]], ["#0", "#1"]),
            ([{"depth": 3}, {"name": {"choice": ["a", "b"]}}], ["#0", "#1"]),
            ([0, {"uniform": [1, 2]}], [0, "#1"]),
            ([1, True, "1"], [1, True, "1"]),
        ],
        ids=str,
    )
    def test_labels_of_options(self, options: list[Any], labels: list[Any]) -> None:
        domain = Space.parse({"a": {"choice": options}}).parameters[0].domain
        assert list(map(repr, domain.values())) == list(map(repr, labels))

    def test_domains_stand_in_fixed_sections_and_lists_too(self) -> None:
        space = Space.parse({"strategies": [{"name": "ghost", "size": {"int": [8, 9]}}, "ema"]})
        assert [p.name for p in space.parameters] == ["strategies.0.size"]
        changes = space.changes({"strategies.0.size": 8})
        assert changes == {"strategies": [{"name": "ghost", "size": 8}, "ema"]}


class TestChanges:
    def test_what_was_chosen_is_worked_in(self) -> None:
        space = Space.parse({**BRANCHES, "training.epochs": 4})
        chosen = {
            "optimizer.lr": 0.1,
            "objective": "mix",
            "objective[mix].inner": "y",
            "objective[mix].inner[y].b": 8,
        }
        assert space.changes(chosen) == {
            "optimizer.lr": 0.1,
            "objective": {"name": "mix", "inner": {"name": "y", "b": 8}},
            "training.epochs": 4,
        }
        assert space.changes({"optimizer.lr": 0.5, "objective": "cross_entropy"}) == {
            "optimizer.lr": 0.5,
            "objective": "cross_entropy",
            "training.epochs": 4,
        }

    def test_where_they_are_written(self) -> None:
        space = Space.parse(
            {**BRANCHES, "strategies": ["ema", {"name": "swa", "every": {"int": [1, 2]}}]}
        )
        chosen = {
            "optimizer.lr": 0.5,
            "objective": "mix",
            "objective[mix].inner": "y",
            "objective[mix].inner[y].b": 8,
            "strategies.1.every": 1,
        }
        assert space.places(chosen) == {
            "optimizer.lr": "optimizer.lr.choice.1",
            "objective": "objective.choice.2",
            "objective.name": "objective.choice.2.name",
            "objective.inner": "objective.choice.2.inner.choice.1",
            "objective.inner.name": "objective.choice.2.inner.choice.1.name",
            "objective.inner.b": "objective.choice.2.inner.choice.1.b",
            "strategies": "strategies",
            "strategies.0": "strategies.0",
            "strategies.1": "strategies.1",
            "strategies.1.name": "strategies.1.name",
            "strategies.1.every": "strategies.1.every",
        }

    def test_trials_share_nothing_that_can_be_changed(self) -> None:
        space = Space.parse({"a": {"choice": [{"name": "z", "list": [1]}]}})
        first = space.changes({"a": "z"})
        first["a"]["list"].append(2)
        assert space.changes({"a": "z"}) == {"a": {"name": "z", "list": [1]}}

    def test_only_active_parameters_are_asked_for(self) -> None:
        space, asked = Space.parse(BRANCHES), []

        def ask(parameter: Any) -> Any:
            asked.append(parameter.name)
            return "z_loss" if parameter.name == "objective" else next(parameter.domain.values())

        assignment = space.assign(ask)
        assert asked == ["optimizer.lr", "objective", "objective[z_loss].a"] == list(assignment)

    def test_a_plain_option_does_not_activate_what_is_called_alike(self) -> None:
        space = Space.parse({"a": {"choice": [1, [{"name": "1", "b": {"int": [1, 2]}}]]}})
        assert list(space.grid()) == [
            {"a": 1},
            {"a": "1", "a[1].0.b": 1},
            {"a": "1", "a[1].0.b": 2},
        ]
        assert space.size == 3


class TestGrid:
    def test_the_first_parameter_changes_slowest(self) -> None:
        space = Space.parse({"a": {"int": [1, 2]}, "b": {"choice": ["x", "y"]}})
        assert [tuple(point.values()) for point in space.grid()] == [
            (1, "x"),
            (1, "y"),
            (2, "x"),
            (2, "y"),
        ]

    def test_branches_have_combinations_of_their_own(self) -> None:
        space = Space.parse(BRANCHES)
        points = list(space.grid())
        assert len(points) == space.size == 2 * (1 + 3 + (1 + 2))
        assert len({tuple(point.items()) for point in points}) == len(points)
        assert all(space.check(point) is None for point in points)

    def test_continuous_parameters_are_named(self) -> None:
        space = Space.parse({"a": {"uniform": [0, 1]}, "b": {"int": [1, 2]}})
        assert space.size is None
        with pytest.raises(ValueError, match=r"a \(uniform 0 to 1\)$"):
            space.grid()

    def test_grid_parameters_are_crossed_apart(self) -> None:
        values = {"a": {"grid": [1, 2]}, "b": {"uniform": [0, 1]}, "c": {"grid": ["x", "y", "z"]}}
        space = Space.parse(values)
        assert [p.name for p in space.grid_parameters] == ["a", "c"]
        combinations = list(space.grid_combinations())
        assert len(combinations) == 6
        assert combinations[1] == {"a": 1, "c": "y"}
        assert list(Space.parse({"b": {"int": [0, 1]}}).grid_combinations()) == [{}]


# Spaces of all forms: domains, and sections and lists with domains inside, three levels deep.
LEAVES = st.one_of(
    st.builds(lambda n, w: {"int": [n, n + w]}, st.integers(-5, 5), st.integers(1, 3)),
    st.just({"quantised": [0, 0.3, 0.1]}),
    st.just({"logint": [1, 3]}),
)
FIXED = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=2))
CONTENTS = st.recursive(
    st.one_of(LEAVES, FIXED),
    lambda inner: st.one_of(
        st.builds(
            lambda options: {"choice": options},
            st.lists(inner, min_size=1, max_size=3, unique_by=repr),
        ),
        st.dictionaries(st.sampled_from(["name", "b", "c"]), inner, min_size=2, max_size=3),
        st.lists(inner, max_size=2),
    ),
    max_leaves=8,
)
SPACES = st.dictionaries(st.sampled_from(["p", "q.r", "s"]), CONTENTS, min_size=1)


def parsed(values: Any) -> Space | None:
    """None where options are equal, or nothing varies."""
    try:
        return Space.parse(values)
    except JobError:
        return None


class TestRoundTrips:
    @settings(max_examples=50)
    @given(SPACES, st.randoms(use_true_random=False))
    def test_assignments_are_of_their_space_and_fill_it(self, values: Any, random: Any) -> None:
        if (space := parsed(values)) is None:
            return
        assignment = space.assign(lambda p: p.domain.from_unit(random.random()))
        assert space.check(assignment) is None
        changes = space.changes(assignment)
        assert list(changes) == list(values)
        assert all(_fits(changes[path], written) for path, written in values.items())
        if space.size is not None and space.size <= 200:
            points = [repr(point) for point in space.grid()]
            assert len(points) == len(set(points)) == space.size
            assert repr(assignment) in points


def _fits(value: Any, written: Any) -> bool:
    """Whether ``value`` can come from what was written; an oracle that knows nothing of names."""
    if isinstance(written, dict) and len(written) == 1:
        ((kind, given_),) = written.items()
        if kind == "choice":
            return any(_fits(value, option) for option in given_)
        if kind in ("int", "logint", "quantised"):
            return isinstance(value, (int, float)) and given_[0] <= value <= given_[1]
    if isinstance(written, dict):
        same = isinstance(value, dict) and list(value) == list(written)
        return same and all(_fits(value[key], written[key]) for key in written)
    if isinstance(written, list):
        same = isinstance(value, list) and len(value) == len(written)
        return same and all(map(_fits, value, written))
    return bool(value == written)


class TestCheck:
    @pytest.mark.parametrize(
        ("assignment", "reason"),
        [
            ({"optimizer.lr": 0.1}, "objective has no value"),
            ({"optimizer.lr": 0.3, "objective": "mix"}, "optimizer.lr: 0.3 is none of 0.1, 0.5"),
            ({"optimizer.lr": 0.1, "objective": "z_loss"}, "objective[z_loss].a has no value"),
            (
                {"optimizer.lr": 0.1, "objective": "cross_entropy", "objective[z_loss].a": 1},
                "objective[z_loss].a has a value but is inactive",
            ),
            ({"lr": 0.1}, "lr is no parameter of this space"),
            ({"optimizer.lr": 0.1, "objective": ["mix"]}, "objective: ['mix'] is none of"),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_told(self, assignment: dict[str, Any], reason: str) -> None:
        assert str(Space.parse(BRANCHES).check(assignment)).startswith(reason)


class TestRefusals:
    @pytest.mark.parametrize(
        ("values", "path", "message"),
        [
            ({}, "space", "names nothing to search over"),
            ([], "space", "names nothing to search over"),
            ({"a": 3}, "space", "holds fixed values only"),
            ({"a..b": {"int": [1, 2]}}, "space.a..b", "is no dotted path"),
            ({"": {"int": [1, 2]}}, "space.", "is no dotted path"),
            ({3: {"int": [1, 2]}}, "space.3", "is no dotted path"),
            (
                {"a": {"b.c": {"int": [1, 2]}, "b": {"c": {"int": [1, 2]}}}},
                "space.a.b.c",
                "there are two parameters called a.b.c",
            ),
        ],
        ids=str,
    )
    def test_a_bad_space(self, values: Any, path: str, message: str) -> None:
        (found,) = problems(values)
        assert (found.path, found.message) == (path, message)

    def test_a_path_inside_another(self) -> None:
        fixed_outside = {"objective": "mix", "objective.a": {"int": [1, 2]}}
        for values in (fixed_outside, dict(reversed(fixed_outside.items()))):
            (found,) = problems(values)
            assert found.path == "space.objective.a"
            assert found.message == "lies inside objective, which the space sets as a whole"
        Space.parse({"objective": "mix", "objectives.a": {"int": [1, 2]}})

    def test_a_grid_cannot_depend_on_a_choice(self) -> None:
        (found,) = problems({"a": {"choice": [1, {"b": {"grid": [1, 2]}}]}})
        assert (found.path, found.mend) == ("space.a.choice.1.b.grid", "use choice")

    def test_grids_of_too_many_combinations(self) -> None:
        (found,) = problems({name: {"grid": list(range(20))} for name in "abcd"})
        assert (found.path, found.got) == ("space", 160_000)
