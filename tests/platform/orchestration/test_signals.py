"""Handlers of signals: a library that sets its own does not keep them."""

from __future__ import annotations

import signal

from trainwright.orchestration.signals import catch_signals, keeping_handlers


def test_a_stop_is_heard_after_a_library_has_set_its_own_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with catch_signals() as stop:
        with keeping_handlers():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert not stop.requested
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) == before
