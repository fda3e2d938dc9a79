"""Trainwright: published training methods as plugins, on one laptop or a Ray cluster."""

from __future__ import annotations

__version__ = "0.1.0"
