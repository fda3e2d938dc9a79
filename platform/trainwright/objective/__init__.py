"""Binding objectives to names, summing them, and averaging over the global batch."""

from trainwright.objective.binding import Argument, Missing, NameBinding, arguments_of, primary
from trainwright.objective.weighted_sum import Share, Term, WeightedSum

__all__ = [
    "Argument",
    "Missing",
    "NameBinding",
    "Share",
    "Term",
    "WeightedSum",
    "arguments_of",
    "primary",
]
