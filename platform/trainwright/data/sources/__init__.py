"""Data sets by name: functions that return a table."""

from __future__ import annotations

from trainwright.data.sources.bags import random_bags, synthetic_bags, synthetic_sets
from trainwright.data.sources.bundled import breast_cancer, diabetes, digits, wine
from trainwright.data.sources.conditionals import synthetic_conditionals
from trainwright.data.sources.graph import graph_links, graph_nodes
from trainwright.data.sources.interactions import synthetic_interactions
from trainwright.data.sources.modular import modular_arithmetic
from trainwright.data.sources.retrieval import synthetic_retrieval
from trainwright.data.sources.rings import synthetic_rings
from trainwright.data.sources.sem import synthetic_sem
from trainwright.data.sources.shapes import synthetic_shapes
from trainwright.data.sources.synthetic import (
    synthetic_classification,
    synthetic_dictionary,
    synthetic_images,
    synthetic_regression,
)
from trainwright.data.sources.text import text

__all__ = [
    "breast_cancer",
    "diabetes",
    "digits",
    "graph_links",
    "graph_nodes",
    "modular_arithmetic",
    "random_bags",
    "synthetic_bags",
    "synthetic_classification",
    "synthetic_conditionals",
    "synthetic_dictionary",
    "synthetic_images",
    "synthetic_interactions",
    "synthetic_regression",
    "synthetic_retrieval",
    "synthetic_rings",
    "synthetic_sem",
    "synthetic_sets",
    "synthetic_shapes",
    "text",
    "wine",
]
