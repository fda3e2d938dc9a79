"""Samples that can be asked for by their row, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from trainwright.data.table import Column, Table


class Rows(ABC):
    """The rows of a table in memory (:class:`~trainwright.data.Table`) or of a streamed one.

    Attributes:
        columns: name -> what it holds; always with an int64 column ``sample_id``.
    """

    columns: dict[str, Column]

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @property
    @abstractmethod
    def num_ids(self) -> int:
        """One more than the largest ``sample_id``."""

    @abstractmethod
    def take(self, indices: torch.Tensor) -> dict[str, torch.Tensor]:
        """The samples at ``indices`` (int64, one-dimensional), as fresh tensors.

        Returns:
            name -> tensor of shape ``(len(indices), *shape)``; free to be changed in place.
        """

    @abstractmethod
    def subset(self, indices: torch.Tensor) -> Table:
        """A table in memory of the samples at ``indices``; they keep their ``sample_id``."""

    def chunks(self, size: int = 4096) -> Iterator[torch.Tensor]:
        """Indices of all samples in their order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            yield torch.arange(start, min(start + size, len(self)))
