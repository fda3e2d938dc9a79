"""A natural partition: a column says to whom a sample belongs."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from trainwright.federated import Indexed, Partitioner, Population
from trainwright_objectives.options import check_whole


class ByColumn(Partitioner):
    """Make a client of each value of a column: the natural partition of the data.

    Clients are numbered in the order of the values. How many there are is found out, so that
    ``federation.clients`` must not be given.

    Args:
        column: of one number for each sample: a group (the person, device or site it comes from),
            a class, or a value.
        min_samples: clients with fewer are left out with their samples. Suggested: 1.

    Needs:
        The column in the training data.

    Measured:
        Nothing; a partition is no method.

    Source:
        S. Caldas, S. M. K. Duddu, P. Wu, T. Li, J. Konečný, H. B. McMahan, V. Smith, A. Talwalkar,
        "LEAF: A Benchmark for Federated Settings", 2018, arXiv 1812.01097.

    Raises:
        ValueError: ``federation.clients`` is given, the column does not hold one number for each
            sample, or all clients have too few samples.
    """

    def __init__(self, column: str, min_samples: Annotated[int, Field(ge=1)] = 1) -> None:
        check_whole("min_samples", min_samples)
        self.column = column
        self.min_samples = min_samples

    def __call__(self, population: Population) -> Indexed:
        """Divide."""
        values = population.column(self.column)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise ValueError(
                f"column {self.column!r} holds {list(values.shape[1:])} numbers for each sample, "
                "and a client is one number: name a column of type group, class or value"
            )
        if values.is_floating_point() and not bool(values.isfinite().all()):
            raise ValueError(f"column {self.column!r} holds numbers that are not finite")
        found, owners, sizes = np.unique(values.numpy(), return_inverse=True, return_counts=True)
        if population.num_clients is not None:
            raise ValueError(
                f"column {self.column!r} decides how many clients there are, {len(found)}: remove "
                "federation.clients"
            )
        kept = sizes >= self.min_samples
        if not kept.any():
            raise ValueError(
                f"no value of column {self.column!r} has {self.min_samples} samples, the commonest "
                f"{sizes.max()}: lower min_samples"
            )
        numbers = np.where(kept, np.cumsum(kept) - 1, -1)
        return Indexed.of(numbers[owners], int(kept.sum()))
