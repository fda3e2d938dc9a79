"""PA&DA against uniform sampling of paths: time per update of a supernet, as a ratio.

Two whole workers in one process train the same supernet on the same samples, in turn. With
tau 0 both draw the same paths, lest those with more weights, which PA&DA prefers, count as a cost
of drawing. See README.md beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common import twins

SIDES: dict[str, list[dict[str, Any]]] = {
    "ours": [{"name": "pada", "tau_schedule": 0.0}],
    "bare": [{"name": "uniform_path_sampling"}],
}


@dataclass(frozen=True)
class Supernet:
    """What both sides train.

    Attributes:
        name: in the table.
        model: the model's section of the job.
        source: the data's.
        batch_size: samples per update.
        goal: what the ratio shall not exceed; None for none.
    """

    name: str
    model: dict[str, Any]
    source: dict[str, Any]
    batch_size: int
    goal: float | None


IMAGES = {"name": "synthetic_images", "image_size": 32, "channels": 3}
VECTORS = {"name": "synthetic_classification", "num_features": 64, "num_classes": 10}
SUPERNETS = (
    Supernet("cells, 16 channels", {"name": "cell_supernet", "cells": 1}, IMAGES, 64, 1.05),
    Supernet("cells, 16 channels, 5 in a group", {"name": "cell_supernet"}, IMAGES, 16, 1.05),
    Supernet("bottlenecks, width 8", {"name": "residual_supernet"}, VECTORS, 64, None),
)


@dataclass(frozen=True)
class PathsResult(twins.Compared):
    """What came of one supernet, PA&DA over uniform paths.

    Attributes:
        name: of the supernet.
        goal: what the ratio of seconds shall not exceed; None for none.
    """

    name: str
    goal: float | None


def values_of(supernet: Supernet, side: str) -> dict[str, Any]:
    """The job of one side."""
    return {
        "data": {"source": supernet.source, "batch_size": supernet.batch_size},
        "model": supernet.model,
        "strategies": SIDES[side],
    }


def compare(supernet: Supernet, pairs: int) -> PathsResult:
    """Time one supernet in a fresh process; ``pairs`` count, a few more come before them."""
    found = twins.compare(values_of(supernet, "ours"), values_of(supernet, "bare"), pairs)
    return PathsResult(**vars(found), name=supernet.name, goal=supernet.goal)
