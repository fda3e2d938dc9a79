"""Worker processes of the tests, and free ports."""

from __future__ import annotations

import socket

from trainwright.testing.workers import Workers

__all__ = ["Workers", "free_port"]


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
