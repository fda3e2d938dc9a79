"""The language of ``expect:`` lines against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import pytest

from trainwright.compare.expectation import ExpectationError, Judgement, Quantity, judge, parse
from trainwright.compare.expectation.evaluation import UnrecordedError

VARIANTS = ("baseline", "method", "other")
ACCURACY = {
    "baseline": [0.90, 0.92, 0.91, 0.89],
    "method": [0.93, 0.94, 0.90, 0.92],
    "other": [0.5, math.nan, 0.5, 0.5],
}


class Recorded:
    """Measurements from a table; the loss is one minus the accuracy, halved at step 100."""

    def __init__(self, finished: int = 4) -> None:
        self.finished = finished

    def seeds(self, variants: Iterable[str]) -> list[int]:
        return list(range(self.finished))

    def value(self, quantity: Quantity, variant: str, seed: int) -> float:
        accuracy = ACCURACY[variant][seed]
        if quantity == Quantity("validation/accuracy"):
            return accuracy
        if quantity == Quantity("train/loss", 100):
            return (1 - accuracy) / 2
        if quantity == Quantity("train/loss", "tail"):
            return 1 - accuracy
        raise UnrecordedError(f"no {quantity}")


def hold(line: str, finished: int = 4) -> Judgement:
    return judge(parse(line, VARIANTS), Recorded(finished))


def sides(line: str) -> list[float]:
    return hold(line).sides


A, B = "validation/accuracy, method", "validation/accuracy, baseline"
RATIO = (93 / 90 + 94 / 92 + 90 / 91 + 92 / 89) / 4
DIFFERENCES = [0.03, 0.02, -0.01, 0.03]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"mean({A}) > mean({B})", [0.9225, 0.905]),
        (f"median({A}) > median({B})", [0.925, 0.905]),
        (f"min({A}) > max({B})", [0.90, 0.92]),
        ("mean(train/loss@100, method) < mean(train/loss@tail, method)", [0.03875, 0.0775]),
        (f"mean(difference({A}, baseline)) > 0", [0.0175, 0]),
        (f"mean(value({A}) - value({B})) > 0", [0.0175, 0]),
        (f"mean(ratio({A}, baseline)) > 1", [RATIO, 1]),
        (f"100 * mean({A}) - 2 * -3 / (1 + 2) > 0", [94.25, 0]),
        (f"abs(mean({B}) - mean({A})) < 1e-1", [0.0175, 0.1]),
        (f"2 - 3 - 4 < 8 / 4 / 2 * mean({B})", [-5, 0.905]),
    ],
)
def test_values_of_sides(line: str, expected: list[float]) -> None:
    assert sides(line) == pytest.approx(expected, rel=1e-12)


def test_the_interval_is_students() -> None:
    """By hand: mean 0.0175, sd 0.018930, t(3) = 3.182446, half = 0.030122."""
    mean = sum(DIFFERENCES) / 4
    std = math.sqrt(sum((d - mean) ** 2 for d in DIFFERENCES) / 3)
    half = 3.182446305284263 * std / 2
    (low, _) = sides(f"lower(difference({A}, baseline)) > 0")
    (high, _) = sides(f"upper(difference({A}, baseline)) > 0")
    (spread, _) = sides(f"std(difference({A}, baseline)) > 0")
    assert (low, high) == pytest.approx((mean - half, mean + half), rel=1e-9)
    assert spread == pytest.approx(std, rel=1e-12)
    assert not hold(f"lower(difference({A}, baseline)) > 0").holds
    assert hold(f"mean(difference({A}, baseline)) > 0").holds


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        (f"mean({B}) < mean({A})", True),
        (f"mean({B}) > mean({A})", False),
        (f"mean({B}) < mean({A}) < 1", True),
        (f"mean({B}) < mean({A}) < 0.92", False),
        (f"mean({B}) >= mean({B})", True),
        (f"mean({B}) > mean({B})", False),
        ("mean(validation/accuracy, other) > 0", False),
        ("mean(validation/accuracy, other) < 1", False),
        ("max(validation/accuracy, other) < 1", False),
        (f"1 / (mean({B}) - mean({B})) < 1", False),
    ],
)
def test_comparisons_and_nan(line: str, holds: bool) -> None:
    assert hold(line).holds is holds


@pytest.mark.parametrize(
    ("amount", "holds"),
    [("all", False), ("3 of 4", True), ("at least 3 of 4", True), ("8 of 10", False)],
)
def test_lines_about_single_seeds(amount: str, holds: bool) -> None:
    """The method is better for three of four seeds; 8 of 10 is at least 3.2 of them."""
    told = hold(f"value({A}) > value({B}) for {amount} seeds")
    assert (told.holds, told.holding, told.seeds) == (holds, 3, 4)
    assert told.sides == pytest.approx([0.9225, 0.905])


def test_a_number_stands_for_every_seed() -> None:
    told = hold(f"0.91 < value({A}) <= 0.93 for all seeds")
    assert (told.holding, told.holds) == (2, False)


def test_the_share_follows_the_number_of_seeds() -> None:
    line = parse(f"value({A}) > value({B}) for 8 of 10 seeds", VARIANTS)
    assert line.share == Fraction(4, 5)
    assert judge(line, Recorded(2)).holds


def test_what_cannot_be_told_does_not_hold() -> None:
    assert hold(f"lower({A}) > 0", 1).reason == "an interval needs two seeds at least"
    assert not hold(f"lower({A}) > 0", 1).holds
    assert hold(f"mean({A}) > 0", 1).holds
    assert hold(f"mean({A}) > 0", 0).reason == "no seed has finished runs of method"
    assert hold("mean(train/gap, method) < 9").reason == "no train/gap"


@pytest.mark.parametrize(
    ("line", "message", "nearest"),
    [
        ("", "expected a number or one of", None),
        (f"mean({A})", "expected a comparison", None),
        (f"mean({A}) > ", "expected a number or one of", None),
        (f"mean({A} > 1", "expected ')'", None),
        (f"maen({A}) > 1", "expected a number or one of", "mean"),
        ("mean(validation/accuracy, metod) > 1", "there is no variant 'metod'", "method"),
        ("mean(validation/accuracy) > 1", "expected ','", None),
        ("mean(train/loss@tial, method) > 1", "there is no moment 'tial'", "tail"),
        ("mean(train/loss@, method) > 1", "there is no moment ''", None),
        (f"value({A}) > 1", "does not say for how many", None),
        (f"mean({A}) > 1 for all seeds", "no seeds can be counted", None),
        (f"value({A}) > 1 for 5 of 4 seeds", "is no part of the seeds", None),
        (f"value({A}) > 1 for 0 of 4 seeds", "is no part of the seeds", None),
        (f"value({A}) > 1 for some seeds", "'all' or a whole number", None),
        (f"mean({A}) == 1", "hardly ever equal", None),
        (f"mean(mean({A})) > 1", "needs one value for each seed", None),
        (f"mean({A}) > 1 fro all seeds", "expected the end", "for"),
        ("1 < 2", "speaks of no variant", None),
        (f"mean({A}) > 1; import os", "';' means nothing here", None),
        ("__import__('os') > 1", "expected a number or one of", None),
    ],
)
def test_what_is_told_of_a_wrong_line(line: str, message: str, nearest: str | None) -> None:
    with pytest.raises(ExpectationError) as caught:
        parse(line, VARIANTS)
    assert message in caught.value.message
    assert caught.value.nearest == nearest


def test_names_with_other_signs_are_quoted() -> None:
    line = parse("mean('train/a b-c'@tail, method) > 0", VARIANTS)
    assert line.leaves[0].quantity == Quantity("train/a b-c", "tail")


def test_a_slash_inside_a_name_belongs_to_it_and_one_beside_a_space_divides() -> None:
    line = parse("mean(train/loss, method) / mean(train/loss, baseline) < 1", VARIANTS)
    assert [leaf.variant for leaf in line.leaves] == ["method", "baseline"]
