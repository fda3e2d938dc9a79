"""The language of ``expect:`` lines: read once, held against what the runs recorded.

    line     = side (("<" | "<=" | ">" | ">=") side)+ ["for" amount "seeds"]
    amount   = "all" | ["at least"] NUMBER "of" NUMBER
    side     = term (("+" | "-") term)*
    term     = factor (("*" | "/") factor)*
    factor   = NUMBER | "-" factor | "(" side ")" | call
    call     = "value" "(" quantity "," variant ")"
             | ("difference" | "ratio") "(" quantity "," variant "," variant ")"
             | over "(" quantity "," variant ")"
             | over "(" side ")"
             | "abs" "(" side ")"
    over     = "mean" | "median" | "std" | "min" | "max" | "lower" | "upper"
    quantity = NAME ("/" NAME)* ["@" moment]
    moment   = "final" | "first" | "best" | "min" | "max" | "mean" | "tail" | STEP

``value``, ``difference`` and ``ratio`` give one number per seed; ``mean`` and the others make one
of them. ``lower`` and ``upper`` are the ends of the 95 % interval of the mean (Student's t), so
that ``lower(difference(validation/accuracy, method, baseline)) > 0`` says that the method is
better beyond the noise of its seeds. A line about single seeds says for how many it must hold.

A quantity is anything a run records (``train/loss``, ``validation/accuracy``, what a strategy
logs), or ``seconds_per_step``, ``steps``, ``seconds``. Its moment is ``final`` unless another one
is named: ``best`` is where the monitored metric was best, ``tail`` the mean of the last tenth,
``@200`` the last value at step 200 or before. A slash with a space or a bracket beside it divides.
"""

from __future__ import annotations

from trainwright.compare.expectation.evaluation import Judgement, Measurements, judge
from trainwright.compare.expectation.parsing import ExpectationError, parse
from trainwright.compare.expectation.tree import Line, Quantity

__all__ = [
    "ExpectationError",
    "Judgement",
    "Line",
    "Measurements",
    "Quantity",
    "judge",
    "parse",
]
