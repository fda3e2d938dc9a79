"""Times in words, for people who watch: on the command line, and in what a cluster tells."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """``0:07``, ``12:34``, ``1:02:03``: of the same width while it runs."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60:02d}" if hours else f"{rest // 60}"
    return f"{f'{hours}:' if hours else ''}{minutes}:{rest % 60:02d}"
