"""The quantities of training that strategies may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """The quantities of training that a strategy may change before it starts.

    Attributes:
        epochs: passes over the data; None when the job counts updates.
        steps: updates; None when the job counts epochs.
        batch_size: global batch, samples per update.
        max_grad_norm: L2 norm to which the global gradient is clipped; None for no clipping.
        optimizer: options of the optimizer, ``lr`` among them.
        schedule: options of the schedule.
        optimizer_name: which optimizer the job names; to look at, it cannot be changed here.
    """

    epochs: int | None
    steps: int | None
    batch_size: int
    max_grad_norm: float | None
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]
    optimizer_name: str = ""
