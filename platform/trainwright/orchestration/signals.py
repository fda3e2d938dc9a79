"""Ctrl-C and SIGTERM: the first asks training to checkpoint and stop, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether the user asked to stop, and who wants to know at once."""

    def __init__(self) -> None:
        self.requested = False
        self._listeners: list[Callable[[], None]] = []

    def on_request(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when a stop is requested, at once if it was already."""
        self._listeners.append(listener)
        if self.requested:
            listener()

    def request(self) -> None:
        """Ask to stop."""
        self.requested = True
        for listener in self._listeners:
            listener()


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Inside, a library may set handlers of SIGINT and SIGTERM; afterwards they are as before."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before:
                if handler is not None:  # set by something other than Python
                    signal.signal(number, handler)


@contextmanager
def catch_signals(stop: StopRequest | None = None) -> Iterator[StopRequest]:
    """Inside, SIGINT and SIGTERM become a request; a second one raises ``KeyboardInterrupt``.

    In a thread other than the main one (a notebook's, say) signals are left as they are.

    Args:
        stop: becomes requested; default: a new one.
    """
    stop = StopRequest() if stop is None else stop
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_as_interrupts(*numbers: signal.Signals) -> Iterator[None]:
    """Inside, these signals raise ``KeyboardInterrupt``, so that what was begun is put away.

    In a thread other than the main one they are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
