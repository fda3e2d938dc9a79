"""A strategy for jobs in tests: ways in which a worker ends that are worse than an exception."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from trainwright.strategy import Batch, Compute, Context, Loss, Strategy

_ENDS: dict[str, Callable[[], object]] = {
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "sigterm": lambda: os.kill(os.getpid(), signal.SIGTERM),
}


class Mishaps(Strategy):
    """Bring a mishap about where an order says so; without orders do nothing.

    An order is an empty file ``<mishap>-<update>-<rank>`` in the folder, and removed when it is
    carried out. Each worker notes where it is in ``at-<rank>``: its update and process.

    Args:
        orders: the folder.
    """

    def __init__(self, orders: str) -> None:
        self.orders = Path(orders)

    def begin(self, context: Context) -> None:
        self.context = context

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        update, rank = self.context.update, self.context.rank
        place = self.orders / f"at-{rank}"
        draft = place.with_suffix(".draft")
        draft.write_text(json.dumps([update, os.getpid()]))
        draft.rename(place)
        for mishap, bring_about in _ENDS.items():
            order = self.orders / f"{mishap}-{update}-{rank}"
            if order.exists():
                order.unlink()
                bring_about()
        return compute(batch)
