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

    The actor's main thread runs what Ray Train's own methods ask of it. Where a version has no such
    method, SIGTERM ends a worker at once, as one that is lost.
    """
    import ray

    execute = getattr(ray.get_runtime_context().current_actor, "execute", None)
    if execute is None:
        print("this version of Ray Train cannot save training at SIGTERM", flush=True)
        return
    ray.get(execute.remote(listen), timeout=30)
