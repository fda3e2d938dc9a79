"""Domains: how values are drawn, their places on the line, and what no domain is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from trainwright.errors import JobError, Problem
from trainwright.search.space import Domain, Space

FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=1e-300, max_value=1e300)


def domain(**written: Any) -> Domain:
    (parameter,) = Space.parse({"a": written}).parameters
    return parameter.domain


def problems(values: Any) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        Space.parse(values)
    return caught.value.problems


def problem(**written: Any) -> Problem:
    (only,) = problems({"a": written})
    return only


def draws(one: Domain, count: int = 4000) -> list[Any]:
    rng = np.random.default_rng(7)
    return [one.draw(rng) for _ in range(count)]


class TestDraws:
    @pytest.mark.parametrize(
        ("written", "oracle"),
        [
            ({"uniform": [-1, 3]}, stats.uniform(-1, 4)),
            ({"loguniform": [1e-4, 1e-1]}, stats.loguniform(1e-4, 1e-1)),
            ({"normal": [2, 0.5]}, stats.norm(2, 0.5)),
            ({"lognormal": [1, 0.5]}, stats.lognorm(0.5, scale=math.e)),
        ],
        ids=["uniform", "loguniform", "normal", "lognormal"],
    )
    def test_continuous_draws_have_the_distribution_of_their_name(
        self, written: dict[str, Any], oracle: Any
    ) -> None:
        assert stats.kstest(draws(domain(**written)), oracle.cdf).pvalue > 0.01

    @pytest.mark.parametrize(
        "written",
        [{"int": [2, 6]}, {"quantised": [0, 1, 0.25]}, {"choice": ["a", None, True, 2]}],
        ids=str,
    )
    def test_single_values_are_equally_likely(self, written: dict[str, Any]) -> None:
        one = domain(**written)
        drawn = draws(one)
        counts = [sum(repr(v) == repr(value) for v in drawn) for value in one.values()]
        assert sum(counts) == len(drawn)
        assert stats.chisquare(counts).pvalue > 0.01

    def test_whole_numbers_are_as_likely_as_their_piece_of_the_logarithm(self) -> None:
        one = domain(logint=[1, 9])
        drawn = draws(one)
        ends = np.log(np.arange(0.5, 10))
        expected = np.diff(ends) / (ends[-1] - ends[0]) * len(drawn)
        counts = [drawn.count(value) for value in one.values()]
        assert stats.chisquare(counts, expected).pvalue > 0.01

    def test_a_draw_is_of_plain_type(self) -> None:
        assert type(draws(domain(int=[1, 3]), 1)[0]) is int
        assert type(draws(domain(uniform=[1, 3]), 1)[0]) is float
        assert type(draws(domain(quantised=[16, 128, 16]), 1)[0]) is int


class TestPlaces:
    @given(st.tuples(FINITE, FINITE).map(sorted), st.floats(0, 1))
    @example([-1.7e308, 1.7e308], 0.5)
    @example([0.0, 5e-324], 0.7)
    def test_uniform(self, ends: list[float], position: float) -> None:
        if ends[0] == ends[1]:
            return
        self._check(domain(uniform=ends), position, 1e-9)

    @given(st.tuples(POSITIVE, POSITIVE).map(sorted), st.floats(0, 1))
    def test_loguniform(self, ends: list[float], position: float) -> None:
        if ends[1] < ends[0] * 1.001:
            return
        self._check(domain(loguniform=ends), position, 1e-7)

    @given(
        st.integers(-1000, 1000), st.integers(1, 300), st.sampled_from([1, 3, 0.1, 0.25, 1e-3, 7.5])
    )
    def test_steps(self, start: int, steps: int, step: float) -> None:
        high = float(f"{start + steps * step:.6f}")
        one = domain(quantised=[start, high, step])
        values = list(one.values())
        assert one.count == len(values) == steps + 1
        assert (values[0], values[-1]) == (start, high)
        # As somebody would write them down, without what binary fractions add.
        assert values == [float(f"{start + k * step:.6f}") for k in range(steps + 1)]
        for value in (values[0], values[steps // 2], values[-1]):
            assert one.from_unit(one.unit(value)) == value
            assert one.why_not(value) is None

    @given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1))
    def test_logint(self, low: int, width: int, position: float) -> None:
        one = domain(logint=[low, low + width])
        value = one.from_unit(position)
        assert one.why_not(value) is None
        assert one.from_unit(one.unit(value)) == value

    @given(st.floats(-10, 10), st.floats(0.01, 3), st.floats(0, 1))
    def test_normal(self, mean: float, sd: float, position: float) -> None:
        for kind in ("normal", "lognormal"):
            one = domain(**{kind: [mean, sd]})
            value = one.from_unit(position)
            assert one.why_not(value) is None
            assert one.unit(value) == pytest.approx(position, abs=1e-9)

    @settings(max_examples=30)
    @given(st.lists(st.one_of(st.text(max_size=2), st.integers()), min_size=1, unique=True))
    def test_choice(self, options: list[Any]) -> None:
        one = domain(choice=options)
        assert [one.from_unit(one.unit(value)) for value in one.values()] == options

    def test_ends_are_reached(self) -> None:
        for written in ({"int": [1, 3]}, {"logint": [1, 3]}, {"uniform": [1, 3]}):
            one = domain(**written)
            assert (one.from_unit(0.0), one.from_unit(1.0)) == (1, 3)

    @staticmethod
    def _check(one: Domain, position: float, tolerance: float) -> None:
        value = one.from_unit(position)
        assert one.why_not(value) is None
        place = one.unit(value)
        assert 0 <= place <= 1
        again = one.from_unit(place)
        assert again == pytest.approx(value, rel=tolerance, abs=abs(tolerance * one.high))  # type: ignore[attr-defined]


class TestWords:
    @pytest.mark.parametrize(
        ("written", "text"),
        [
            ({"loguniform": [1e-4, 0.1]}, "loguniform 0.0001 to 0.1"),
            ({"int": [16, 128]}, "int 16 to 128"),
            ({"int": [16, 128, 16]}, "int 16 to 128 in steps of 16"),
            ({"quantised": [0, 1, 0.1]}, "quantised 0 to 1 in steps of 0.1"),
            ({"logint": [1, 64]}, "logint 1 to 64"),
            ({"normal": [0, 1]}, "normal, mean 0 and sd 1"),
            ({"lognormal": [0, 1]}, "lognormal, mean 0 and sd 1 of the logarithm"),
            ({"choice": ["a", None, True, 0.5]}, "choice of a, none, true, 0.5"),
            ({"grid": [1, 2]}, "grid of 1, 2"),
        ],
        ids=str,
    )
    def test_description(self, written: dict[str, Any], text: str) -> None:
        one = domain(**written)
        assert one.describe() == text
        assert one.kind in written
        assert one.log is next(iter(written)).startswith("log")
        assert one.is_numeric is (one.kind not in ("choice", "grid"))

    def test_a_continuous_domain_cannot_be_listed(self) -> None:
        with pytest.raises(ValueError, match="uniform 0 to 1 is continuous"):
            domain(uniform=[0, 1]).values()


class TestMembers:
    @pytest.mark.parametrize(
        ("written", "value", "reason"),
        [
            ({"uniform": [0, 1]}, 2, "2 is not from 0 to 1"),
            ({"uniform": [0, 1]}, True, "True is no number"),
            ({"uniform": [0, 1]}, math.nan, "nan is no number"),
            ({"int": [0, 8, 2]}, 3, "3 is none of 0 + whole steps of 2"),
            ({"int": [0, 8]}, 2.5, "2.5 is none of"),
            ({"logint": [1, 8]}, 2.5, "2.5 is no whole number"),
            ({"lognormal": [0, 1]}, 0, "0 is not above 0"),
            ({"normal": [0, 1]}, "1", "'1' is no number"),
            ({"choice": [1, 2]}, True, "True is none of 1, 2"),
            ({"choice": [1, 2]}, [1], "[1] is none of 1, 2"),
        ],
        ids=str,
    )
    def test_strangers_are_told(self, written: dict[str, Any], value: Any, reason: str) -> None:
        found = domain(**written).why_not(value)
        assert found is not None
        assert found.startswith(reason)


class TestRefusals:
    @pytest.mark.parametrize(
        ("word", "meant"),
        [
            ("logunifrom", "loguniform"),
            ("unifrom", "uniform"),
            ("choices", "choice"),
            ("quantized", "quantised"),
            ("quniform", "quantised"),
            ("randint", "int"),
            ("grid_search", "grid"),
            ("log_normal", "lognormal"),
        ],
    )
    def test_a_misspelt_domain(self, word: str, meant: str) -> None:
        found = problem(**{word: [1, 2]})
        assert (found.path, found.nearest) == (f"space.a.{word}", meant)
        assert "loguniform" in str(found.allowed)

    @pytest.mark.parametrize(
        ("written", "path", "message"),
        [
            ({"uniform": [1]}, "uniform", "needs a list of 2 numbers"),
            ({"uniform": 3}, "uniform", "needs a list of 2 numbers"),
            ({"int": [1, 2, 1, 1]}, "int", "needs a list of 2 or 3 numbers"),
            ({"quantised": [1, 2]}, "quantised", "needs a list of 3 numbers"),
            ({"uniform": [2, 2]}, "uniform", "both ends are the same"),
            ({"uniform": [True, 2]}, "uniform.0", "is not a finite number"),
            ({"uniform": [0, math.nan]}, "uniform.1", "is not a finite number"),
            ({"uniform": [-math.inf, 0]}, "uniform.0", "is not a finite number"),
            ({"uniform": [0, {"uniform": [0, 1]}]}, "uniform.1", "is not a finite number"),
            ({"loguniform": [0, 1]}, "loguniform", "only numbers above 0 have a logarithm"),
            ({"logint": [0, 8]}, "logint", "only numbers above 0 have a logarithm"),
            ({"int": [0, 8.5]}, "int.1", "is not a whole number"),
            ({"int": [0, 2**60]}, "int.1", "is too large"),
            ({"int": [0, 8, 0]}, "int", "the step must be above 0"),
            ({"quantised": [0, 1, -1]}, "quantised", "the step must be above 0"),
            ({"quantised": [0, 1, 1e-30]}, "quantised", "the steps are too small"),
            ({"normal": [0, 0]}, "normal", "the standard deviation must be above 0"),
            ({"lognormal": [0, -1]}, "lognormal", "the standard deviation must be above 0"),
            ({"choice": []}, "choice", "has no options"),
            ({"grid": {}}, "grid", "is no list"),
            ({"choice": [1, 2, 1.0]}, "choice.2", "stands in the list already, as entry 0"),
            ({"choice": [{"b": 1}, {"b": 1.0}]}, "choice.1", "stands in the list already"),
        ],
        ids=str,
    )
    def test_a_bad_domain(self, written: dict[str, Any], path: str, message: str) -> None:
        found = problem(**written)
        assert found.path == f"space.a.{path}"
        assert message in found.message
        assert found.allowed or found.mend

    @pytest.mark.parametrize(
        ("written", "mend"),
        [
            ({"uniform": [2, 1]}, "write [1, 2]"),
            ({"int": [9, 1, 2]}, "write [1, 9, 2]"),
            ({"uniform": [4, 4]}, "write 4 alone to fix the value"),
            ({"uniform": ["1e-3", 1]}, "write 1e-3 without quotes"),
            ({"int": [16.0, 32]}, "write 16"),
            ({"int": [1, 6, 2]}, "let it end at 5 or 7"),
            ({"quantised": [0, 1, 0.3]}, "let it end at 0.9 or 1.2"),
            ({"quantised": [0, 1, 3]}, "let it end at 3"),
            ({"choice": 3}, "write choice: [3]"),
        ],
        ids=str,
    )
    def test_the_mend_is_told(self, written: dict[str, Any], mend: str) -> None:
        assert problem(**written).mend == mend

    def test_keys_beside_the_domain(self) -> None:
        found = problem(uniform=[0, 1], log=True)
        assert found.path == "space.a"
        assert "beside 'uniform'" in found.message
        # A plugin may have an option of such a name.
        Space.parse({"a": {"name": "z", "normal": [0, 1]}, "b": {"int": [0, 1]}})

    def test_all_mistakes_are_told_at_once(self) -> None:
        found = problems({"a": {"uniform": [2, 1]}, "b": {"choice": [1, {"c": {"int": [1, "x"]}}]}})
        assert [p.path for p in found] == ["space.a.uniform", "space.b.choice.1.c.int.1"]
