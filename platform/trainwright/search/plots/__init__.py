"""Pictures of a sweep: what came of its trials, and what it depends on."""

from __future__ import annotations

from trainwright.search.plots.drawing import Drawn, draw
from trainwright.search.plots.rows import Metric, TrialRow
from trainwright.search.plots.sweep import plot_sweep

__all__ = ["Drawn", "Metric", "TrialRow", "draw", "plot_sweep"]
