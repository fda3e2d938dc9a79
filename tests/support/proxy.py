"""The proxy that misbehaves on demand, which ``make chaos`` uses too."""

from __future__ import annotations

from chaos.proxy import Proxy

__all__ = ["Proxy"]
