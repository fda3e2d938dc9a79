"""Data sets by name: functions that return a table."""

from __future__ import annotations

from trainwright.data.sources.bundled import breast_cancer, diabetes, digits, wine
from trainwright.data.sources.synthetic import (
    synthetic_classification,
    synthetic_images,
    synthetic_regression,
)

__all__ = [
    "breast_cancer",
    "diabetes",
    "digits",
    "synthetic_classification",
    "synthetic_images",
    "synthetic_regression",
    "wine",
]
