"""Pictures of a sweep: what came of its trials, and what it depends on."""

from __future__ import annotations

from trainwright.search.plots.drawing import Drawn, draw
from trainwright.search.plots.rows import Metric, TrialRow, non_dominated

__all__ = ["Drawn", "Metric", "TrialRow", "draw", "non_dominated"]
