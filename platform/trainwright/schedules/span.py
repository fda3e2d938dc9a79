"""Parts of training, as options of schedules: a fraction of the whole, or a duration."""

from __future__ import annotations

import math
from typing import Annotated, TypeAlias, Union

from pydantic import Field

from trainwright.durations import Duration

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""A number between 0 and 1."""

Span: TypeAlias = Union[Share, Duration]  # noqa: UP007
"""A share of training (``0.05``), or a duration (``500 steps``, ``2 epochs``)."""


def in_steps(span: Span, total_steps: int, steps_per_epoch: int) -> int:
    """The span as a number of updates; a share is rounded to the nearest one, halves up.

    A duration may be longer than training: the phase it describes is then cut off by the end.
    """
    if isinstance(span, Duration):
        return span.in_steps(steps_per_epoch)
    return math.floor(span * total_steps + 0.5)
