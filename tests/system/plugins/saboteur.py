"""A strategy for jobs in tests: it kills or holds its own process where an order says so."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from trainwright.strategy import Batch, Compute, Context, Loss, Step, Strategy


class Saboteur(Strategy):
    """Kill this process at chosen moments, each once; without orders do nothing.

    An order is an empty file ``<hook>-<update>-<rank>`` in the folder. It is removed when it is
    carried out, so that the next attempt gets further. ``hold-<update>-<rank>`` stops training
    until somebody else removes the file; meanwhile there is a file ``holding``.

    Args:
        orders: the folder.
    """

    def __init__(self, orders: str) -> None:
        self.orders = Path(orders)
        self.context: Context | None = None

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        def forward(module: nn.Module, inputs: Any) -> None:
            if not module.training:
                self._obey("evaluation")

        model.register_forward_pre_hook(forward)
        return model

    def begin(self, context: Context) -> None:
        self.context = context

    def step(self, step: Step, take: Callable[[], None]) -> None:
        take()
        self._obey("step")

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        self._hold()
        self._obey("loss")
        return compute(batch)

    def gradients(self, step: Step) -> None:
        self._obey("gradients")

    def updated(self, step: Step) -> None:
        self._obey("updated")

    def evaluated(self, metrics: Mapping[str, float]) -> bool:
        self._obey("evaluated")
        return False

    def epoch_end(self, epoch: int) -> None:
        self._obey("epoch_end")

    def state_dict(self) -> dict[str, Any]:
        self._obey("state_dict")
        self._obey_later("writing", delay_s=0.004)
        return {}

    def _hold(self) -> None:
        order = self._order("hold")
        while order is not None and order.exists():
            (self.orders / "holding").touch()
            time.sleep(0.01)

    def _obey(self, hook: str) -> None:
        if self._ordered(hook):
            os.kill(os.getpid(), signal.SIGKILL)

    def _obey_later(self, hook: str, delay_s: float) -> None:
        if self._ordered(hook):
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def _ordered(self, hook: str) -> bool:
        order = self._order(hook)
        if order is None:
            return False
        try:
            order.unlink()
        except FileNotFoundError:
            return False
        return True

    def _order(self, hook: str) -> Path | None:
        if self.context is None:
            return None
        return self.orders / f"{hook}-{self.context.update}-{self.context.rank}"
