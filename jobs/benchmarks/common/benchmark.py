"""What a benchmark tells ``run_all.py`` of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Judged: TypeAlias = tuple[str, Mapping[str, Any], float]
"""A label, a ratio (``median``, ``low``, ``high``) and what it shall not exceed."""


def no_ratios(results: Any) -> list[Judged]:
    """For benchmarks of seconds and shares."""
    return []


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: on the command line and in RESULTS.md.
        pairs: how often is measured, unless the command says otherwise.
        quick_pairs: likewise in the quick form.
        run: measures, told how often and whether in the quick form; its answer can be written
            as JSON.
        tables: the results in lines of Markdown.
        ratios: what of the results is part of the common figure.
        draw: writes a figure of its own into a file, whose ending says the format.
        peers: environments of peers, and the packages there whose versions are told.
    """

    name: str
    pairs: int
    quick_pairs: int
    run: Callable[[int, bool], Any]
    tables: Callable[[Any], list[str]]
    ratios: Callable[[Any], list[Judged]] = no_ratios
    draw: Callable[[Any, Path], None] | None = None
    peers: Mapping[str, Sequence[str]] = field(default_factory=dict)
