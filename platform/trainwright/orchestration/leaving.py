"""SIGTERM at a worker: its node is about to go, so training should be saved first."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_asked = threading.Event()


def leaving() -> bool:
    """Whether somebody asked this process to end."""
    return _asked.is_set()


def listen() -> None:
    """Note SIGTERM from now on, rather than end at once; call it in the main thread."""
    signal.signal(signal.SIGTERM, _note)


def _note(number: int, frame: FrameType | None) -> None:
    _asked.set()


def listen_in_main_thread() -> None:
    """``listen``, for a function of Ray Train's, which runs in a thread beside the main one.

    The actor's main thread runs what Ray Train's own methods ask of it.
    """
    import ray

    actor = ray.get_runtime_context().current_actor
    ray.get(actor.execute.remote(listen), timeout=30)
