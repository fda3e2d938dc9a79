"""Constraints: what they mean, what may stand in them, and what they can speak of."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.errors import JobError, Problem
from trainwright.search.space import (
    Constraint,
    Space,
    named_values,
    parse_constraints,
    unknown_names,
    violated,
)

BASE = {
    "data": {"source": "digits", "validation": 0.25},
    "model": "mlp",
    "objective": {"name": "z_loss", "a": 2.0},
    "strategies": ["ema", {"name": "swa", "lambda": 3}],
    "training": {"epochs": None},
}
SPACE = Space.parse(
    {
        "model.width": {"int": [16, 128]},
        "objective": {"choice": ["cross_entropy", {"name": "mix", "b": {"uniform": [0, 1]}}]},
    }
)
MIX = {"model.width": 32, "objective": "mix", "objective[mix].b": 0.5}
PLAIN = {"model.width": 32, "objective": "cross_entropy"}


def holds(text: str, values: dict[str, Any]) -> bool:
    return Constraint.parse(text).holds(values)


def problem(text: Any, values: dict[str, Any] | None = None) -> Problem:
    with pytest.raises(JobError) as caught:
        Constraint.parse(text, "constraints.2").holds(values or {})
    (found,) = caught.value.problems
    return found


class TestMeaning:
    @given(st.integers(-9, 9), st.integers(1, 9), st.sampled_from([-1.5, 0.25, 2.0]))
    def test_it_means_what_it_means_in_python(self, a: int, b: int, c: float) -> None:
        for text in (
            "a * b + c <= 4 - a",
            "a // b < a / b or not a % b == 0",
            "0 < a < b <= 7",
            "a in [1, 2, b] and c not in (2.0, 3)",
            "-a ** 2 > c or +b != a",
            "max(a, b) > 3 and min(a, b, c) < 1 or abs(a) == 2",
            "b ** -a < 2 and log(b) <= sqrt(b)",
            "a == 1 or a == 2 and b > 3",
        ):
            names = {"a": a, "b": b, "c": c, "log": math.log, "sqrt": math.sqrt}
            expected = eval(text, names)
            assert holds(text, {"a": a, "b": b, "c": c}) is expected, text

    def test_texts_lists_and_the_constants_of_yaml(self) -> None:
        values = {"a.b": "adam", "c": [1, 2], "d": True, "e": None}
        assert holds("a.b in ['adam', 'sgd'] and a.b != 'sgd'", values)
        assert holds("len(c) == 2 and 2 in c and len(a.b) == 4", values)
        assert holds("d and d == true and not d == false and e == null and e == None", values)

    def test_what_stands_behind_a_decision_is_not_looked_at(self) -> None:
        assert not holds("a != 0 and 1 / a > 0", {"a": 0})
        assert holds("a == 0 or 1 / a > 0", {"a": 0})

    def test_what_a_trial_lacks_does_not_bind_it(self) -> None:
        assert holds("objective.a < 1", {})
        assert not holds("objective.a < 1", {"objective.a": 2})

    def test_lines_may_be_broken(self) -> None:
        assert holds("a < 2\n  and b < 2\n", {"a": 1, "b": 1})


class TestNames:
    @pytest.mark.parametrize(
        "text",
        [
            "model.width == 32",
            "model.name == 'mlp'",
            "data.validation.fraction == 0.25",
            "objective == 'mix'",
            "objective.name == 'mix' and objective.b == 0.5 and objective[mix].b == 0.5",
            "strategies[0].name == 'ema' and strategies[1]['lambda'] == 3",
            "len(strategies) == 2",
        ],
    )
    def test_values_of_the_changed_job_and_of_parameters(self, text: str) -> None:
        constraint = Constraint.parse(text)
        assert unknown_names([constraint], SPACE, BASE) == []
        assert constraint.holds(named_values(SPACE, MIX, BASE))

    def test_an_option_that_was_not_taken(self) -> None:
        constraint = Constraint.parse("objective.b > 0.7")
        assert not constraint.holds(named_values(SPACE, MIX, BASE))
        assert constraint.holds(named_values(SPACE, PLAIN, BASE))

    @pytest.mark.parametrize(
        ("text", "near"),
        [
            ("model.widht < 3", "model.width"),
            ("objectve.b < 3", "objective.b"),
            ("objective[mix].c < 3", "objective[mix].b"),
        ],
    )
    def test_a_name_that_no_trial_has(self, text: str, near: str) -> None:
        (found,) = unknown_names(parse_constraints([text]), SPACE, BASE)
        assert (found.path, found.nearest) == ("constraints.0", near)

    def test_a_default_that_is_not_written(self) -> None:
        (found,) = unknown_names(parse_constraints(["warmup < 3"]), SPACE, BASE)
        assert found.mend == "if it is a default, write it into the base or the space"

    def test_a_space_that_leads_through_a_single_value(self) -> None:
        space = Space.parse({"data.validation.fraction.x": {"int": [1, 2]}})
        with pytest.raises(JobError, match="is a single value and has no 'x'") as caught:
            named_values(space, {"data.validation.fraction.x": 1}, BASE)
        assert caught.value.problems[0].path == "space.data.validation.fraction.x"


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (3, "is no condition"),
            (" ", "is no condition"),
            ("3 < 4", "speaks of no value of the job"),
            ("a = 3", "cannot be understood at column 3"),
            ("  a << 3", "column 3: 'a << 3' is not allowed here"),
            ("a < (b if c else d)", "column 6: 'b if c else d' is not allowed here"),
            ("a < f'{b}'", "column 5: \"f'{b}'\" is not allowed here"),
            ("[b for b in a] == a", "column 1: '[b for b in a]' is not allowed here"),
            ("a is None", "column 1: 'a is None' is not allowed here"),
            ("a < b'x'", "column 5: b'x' is no value of a job"),
            ("a < 1j", "column 5: 1j is no value of a job"),
            ("a < {1: 2}", "column 5: '{1: 2}' is not allowed here"),
            ("a.b(3) < 1", "column 1: there is no function 'a.b'"),
            ("a < open('x')", "column 5: there is no function 'open'"),
            ("max(a, key=b) < 1", "column 1: max takes values alone, at least one"),
            ("max(*a) < 1", "column 5: '*a' is not allowed here"),
            ("a[1:2] == 3", "column 1: 'a[1:2]' is not allowed here"),
            ("(" * 300 + "a" + ")" * 300, "cannot be understood"),
        ],
    )
    def test_what_is_not_allowed(self, text: Any, message: str) -> None:
        found = problem(text)
        assert found.path == "constraints.2"
        assert message in found.message
        assert "model.width * model.depth <= 512" in str(found.allowed) or "sqrt" in str(
            found.allowed
        )

    @pytest.mark.parametrize(
        ("text", "mend"),
        [
            ("a = 3", "two values are compared by =="),
            (
                "strategies.0.name == 'x'",
                "the entry of a list stands in brackets: strategies[0].name",
            ),
            ("a && b", "write and, or, not"),
        ],
    )
    def test_the_mend_is_told(self, text: str, mend: str) -> None:
        assert problem(text).mend == mend

    def test_a_function_that_is_misspelt(self) -> None:
        assert problem("mim(a, 3) < 2").nearest == "min"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a / b > 1", "a / b: division by zero"),
            ("c * 3 > 1", "c is None, which is no number"),
            ("d + d == 'xx'", "d is True, which is no number"),
            ("s < 3", "'x' and 3 have no order"),
            ("s * 1000000 == 'x'", "s is 'x', which is no number"),
            ("a", "a is 1, neither true nor false"),
            ("a and d", "a is 1, neither true nor false"),
            ("1 in s", "s is 'x', which is no list"),
            ("9 ** 9 ** 9 > a", "too large a number"),
            ("10.0 ** 400 > a", "10.0 ** 400"),
            ("(-a) ** 0.5 > a", "no real number"),
            ("log(b) < a", "log(b)"),
            ("len(a) > 1", "len(a)"),
        ],
    )
    def test_what_has_no_value(self, text: str, message: str) -> None:
        values = {"a": 1, "b": 0, "c": None, "d": True, "s": "x"}
        found = problem(text, values)
        assert found.path == "constraints.2"
        assert message in found.message
        assert set(found.got) <= set(values)

    def test_all_lines_are_told_at_once(self) -> None:
        with pytest.raises(JobError) as caught:
            parse_constraints(["a <", "a < 3", "foo(a) < 3"])
        assert [p.path for p in caught.value.problems] == ["constraints.0", "constraints.2"]


def test_the_violated_ones() -> None:
    lines = parse_constraints(["a < 3", "a > 3", "b > 3"])
    assert [line.text for line in violated(lines, {"a": 2})] == ["a > 3"]
