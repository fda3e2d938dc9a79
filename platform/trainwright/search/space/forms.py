"""How domains of numbers are written, and what can be wrong with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trainwright.errors import Problem
from trainwright.search.space.domain import Domain, Number, is_number, shown
from trainwright.search.space.numeric import (
    LogIntegers,
    Normal,
    Steps,
    Uniform,
    decimal,
    steps_between,
)

FORMS = {
    "choice": "a list of options: single values, or sections that may hold domains of their own",
    "grid": "a list of options, all of which are tried",
    "uniform": "[low, high], low < high",
    "loguniform": "[low, high], 0 < low < high",
    "quantised": "[low, high, step], low < high, step > 0, for low, low + step, ... up to high",
    "int": "[low, high] or [low, high, step], whole numbers, low < high, step > 0; both included",
    "logint": "[low, high], whole numbers, 0 < low < high; both included",
    "normal": "[mean, sd], sd > 0",
    "lognormal": "[mean, sd] of the logarithm, sd > 0",
}
"""Kind of domain -> what stands after it."""

NUMERIC = tuple(kind for kind in FORMS if kind not in ("choice", "grid"))

_LENGTHS = {"quantised": (3,), "int": (2, 3)}
_WHOLE = ("int", "logint")
_MOST = 2**53
"""Whole numbers beyond have no neighbours among the floating-point numbers."""

_MAKE: dict[str, Callable[..., Domain]] = {
    "uniform": lambda low, high: Uniform(float(low), float(high)),
    "loguniform": lambda low, high: Uniform(float(low), float(high), "loguniform"),
    "quantised": lambda low, high, step: Steps(low, high, step, "quantised"),
    "int": lambda low, high, step=1: Steps(low, high, step),
    "logint": LogIntegers,
    "normal": lambda mean, sd: Normal(float(mean), float(sd)),
    "lognormal": lambda mean, sd: Normal(float(mean), float(sd), "lognormal"),
}


def numeric_domain(kind: str, given: Any, path: str) -> tuple[Domain | None, list[Problem]]:
    """The domain of a kind.

    Args:
        kind: one of ``NUMERIC``.
        given: what stands after it in the job.
        path: where it stands.

    Returns:
        The domain, or None and what is wrong.
    """
    lengths = _LENGTHS.get(kind, (2,))
    if not isinstance(given, (list, tuple)) or len(given) not in lengths:
        many = " or ".join(map(str, lengths))
        message = f"{kind} needs a list of {many} numbers"
        return None, [Problem(path, message, given, allowed=FORMS[kind])]
    problems = [
        problem
        for index, number in enumerate(given)
        if (problem := _bad_number(kind, number, f"{path}.{index}")) is not None
    ]
    problems = problems or _out_of_order(kind, list(given), path)
    return (None, problems) if problems else (_MAKE[kind](*given), [])


def _bad_number(kind: str, number: Any, path: str) -> Problem | None:
    allowed = "a whole number" if kind in _WHOLE else "a finite number"
    if not is_number(number) or not math.isfinite(number):
        return Problem(path, f"is not {allowed}", number, allowed, mend=_mend(number))
    if kind in _WHOLE and not isinstance(number, int):
        mend = f"write {int(number)}" if number == int(number) else None
        return Problem(path, "is not a whole number", number, allowed, mend=mend)
    if kind in _WHOLE and abs(number) > _MOST:
        return Problem(path, "is too large", number, allowed="whole numbers up to 2 ** 53")
    return None


def _mend(written: Any) -> str | None:
    try:
        is_text_of_number = isinstance(written, str) and math.isfinite(float(written))
    except ValueError:
        return None
    return f"write {written.strip()} without quotes" if is_text_of_number else None


def _out_of_order(kind: str, given: list[Number], path: str) -> list[Problem]:
    def refused(message: str, mend: str | None = None) -> list[Problem]:
        return [Problem(path, message, given, allowed=FORMS[kind], mend=mend)]

    low, high, *steps = given
    if kind in ("normal", "lognormal"):
        return [] if high > 0 else refused("the standard deviation must be above 0")
    if low == high:
        return refused("both ends are the same", mend=f"write {shown(low)} alone to fix the value")
    if low > high:
        swapped = ", ".join(map(str, (high, low, *steps)))
        return refused("the lower end comes first", mend=f"write [{swapped}]")
    if kind.startswith("log") and low <= 0:
        return refused("only numbers above 0 have a logarithm")
    return _bad_step(low, high, steps[0], refused) if steps else []


def _bad_step(
    low: Number, high: Number, step: Number, refused: Callable[[str, str | None], list[Problem]]
) -> list[Problem]:
    if step <= 0:
        return refused("the step must be above 0", None)
    if (decimal(high) - decimal(low)) > decimal(step) * _MOST:
        return refused("the steps are too small to be counted", None)
    steps, fits = steps_between(low, high, step)
    if fits:
        return []
    ends = [shown(float(decimal(low) + n * decimal(step))) for n in (steps, steps + 1)]
    if steps == 0:
        ends = ends[1:]
    message = f"no whole number of steps leads from {shown(low)} to {shown(high)}"
    return refused(message, f"let it end at {' or '.join(ends)}")
