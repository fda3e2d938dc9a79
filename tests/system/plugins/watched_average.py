"""An aggregator for jobs in tests: its clients kill, hold or fail their process on order."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor

from trainwright.federated import Aggregator, Client, Federation, Message, State


class WatchedAverage(Aggregator):
    """Plain averaging; clients on Ray note their process, and carry out orders, each of them once.

    An order is an empty file ``kill-<round>...``, ``fail-<round>...`` or ``hold-<round>...`` in
    the folder; all but the last kind are removed when they are carried out.

    Args:
        orders: the folder.
    """

    keeps_state = True

    def __init__(self, orders: str) -> None:
        self.orders = Path(orders)

    def client_state(self, federation: Federation) -> State:
        """No update yet."""
        return {"last": torch.zeros(federation.layout.size)}

    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        """As a client of plain averaging; the update is what it keeps."""
        if in_a_resident():
            (self.orders / f"pid-{os.getpid()}").touch()
            self._obey(client)
        return {"update": update}, {"last": update}

    def _obey(self, client: Client) -> None:
        for order in sorted(self.orders.glob(f"*-{client.round}-*")):
            what = order.name.partition("-")[0]
            if what == "hold":
                (self.orders / "holding").touch()
                while order.exists():
                    time.sleep(0.02)
                continue
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                order.unlink()
                if what == "fail":
                    raise ValueError(f"client {client.id} will not")
                os.kill(os.getpid(), signal.SIGKILL)


def in_a_resident() -> bool:
    """Whether this process is one that trains clients, and not the server."""
    import ray

    return ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
