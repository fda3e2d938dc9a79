"""Early stopping: when it asks to stop, what it refuses, and exact resumption."""

from __future__ import annotations

import math
import re

import pytest

from trainwright.errors import JobError
from trainwright_strategies.early_stopping import EarlyStopping, direction_of


def stops_at(strategy: EarlyStopping, values: list[float]) -> int | None:
    """The number of the first evaluation (from 1) after which the strategy asks to stop."""
    for number, value in enumerate(values, start=1):
        if strategy.evaluated({strategy.monitor: value}):
            return number
    return None


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        ({"patience": 2}, [1.0, 0.9, 0.8, 0.85, 0.81], 5),
        ({"patience": 2}, [1.0, 0.9, 0.95, 0.8, 0.85, 0.7], None),
        ({"patience": 1}, [1.0, 1.0], 2),
        ({"patience": 2, "min_delta": 0.1}, [1.0, 0.95, 0.91, 0.8], 3),
        ({"patience": 2, "min_delta": 0.1}, [1.0, 0.95, 0.85, 0.8], None),
        ({"patience": 2, "monitor": "validation/accuracy"}, [0.5, 0.6, 0.55, 0.6], 4),
        ({"patience": 2, "monitor": "validation/x", "mode": "max"}, [1.0, 0.5, 0.4], 3),
        ({"patience": 2, "mode": "max"}, [1.0, 0.5, 0.4], 3),
        ({"patience": 2}, [1.0, math.nan, math.nan, 0.1], 3),
        ({"patience": 2}, [math.nan, 1.0, math.nan, 0.5], None),
        ({"patience": 3}, [math.nan, math.nan, math.nan], 3),
        ({"patience": 2}, [math.inf, 1.0, 2.0, 3.0], 4),
        ({"patience": 2}, [math.inf, math.inf, math.inf], 3),
    ],
)
def test_stops(options: dict, values: list[float], expected: int | None) -> None:
    assert stops_at(EarlyStopping(**options), values) == expected


@pytest.mark.parametrize("cut", range(1, 8))
def test_resumes_exactly(cut: int) -> None:
    values = [1.0, 0.9, 0.95, 0.85, 0.9, 0.87, 0.86]
    whole, first = EarlyStopping(patience=3), EarlyStopping(patience=3)
    asked = [whole.evaluated({"validation/loss": value}) for value in values]
    before = [first.evaluated({"validation/loss": value}) for value in values[:cut]]
    second = EarlyStopping(patience=3)
    second.load_state_dict(first.state_dict())
    after = [second.evaluated({"validation/loss": value}) for value in values[cut:]]
    assert before + after == asked
    assert asked[-1]
    assert second.state_dict() == whole.state_dict()


def test_state_holds_plain_values() -> None:
    assert EarlyStopping().state_dict() == {"best": None, "waited": 0}


def test_names_the_metric_it_watches() -> None:
    assert EarlyStopping(monitor="validation/accuracy").needs_metrics() == ["validation/accuracy"]


def test_missing_metric() -> None:
    strategy = EarlyStopping(monitor="validation/acuracy", mode="max")
    with pytest.raises(JobError) as caught:
        strategy.evaluated({"validation/loss": 1.0, "validation/accuracy": 0.5})
    (problem,) = caught.value.problems
    assert problem.path == "strategies.early_stopping.monitor"
    assert problem.got == "validation/acuracy"
    assert problem.nearest == "validation/accuracy"
    assert problem.allowed == "validation/accuracy, validation/loss"


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("validation/loss", "min"),
        ("validation/z_loss", "min"),
        ("validation/MeanSquaredError", None),
        ("validation/mean_squared_error", "min"),
        ("validation/top5-error", "min"),
        ("validation/accuracy_error", "min"),
        ("validation/accuracy", "max"),
        ("validation/multiclass_f1_score", "max"),
        ("loss/accuracy", "max"),
        ("validation/beans", None),
    ],
)
def test_direction_by_name(metric: str, direction: str | None) -> None:
    assert direction_of(metric) == direction


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be a whole number of at least 1"),
        ({"patience": 2.5}, "patience must be a whole number of at least 1"),
        ({"min_delta": -0.1}, "min_delta must be a number of at least 0"),
        ({"min_delta": math.nan}, "min_delta must be a number of at least 0"),
        ({"mode": "lowest"}, "auto, min or max"),
        ({"monitor": "validation/beans"}, "set mode to min or max"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        EarlyStopping(**options)


def test_neutral_setting_never_stops() -> None:
    strategy = EarlyStopping(**EarlyStopping.declares.neutral)
    assert stops_at(strategy, [1.0] * 1000) is None
