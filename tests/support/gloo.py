"""Worker processes of the tests, and free ports."""

from __future__ import annotations

from chaos.proxy import free_port

from trainwright.testing.workers import Workers

__all__ = ["Workers", "free_port"]
