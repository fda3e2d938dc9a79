"""Random numbers that belong to single samples."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trainwright.data.random import integers, normal, uniform


@dataclass(frozen=True)
class SampleRandom:
    """Numbers for the samples of a batch, the same in whatever batch, worker or order they come.

    A number depends on the key, the sample's id and its position in ``shape`` alone: asked twice,
    it is the same. For further numbers take another name.

    Attributes:
        key: from the seed, a name and the update.
        ids: the samples, int64 of shape (B,).
    """

    key: int
    ids: Tensor

    def uniform(self, shape: tuple[int, ...] = ()) -> Tensor:
        """In [0, 1), float32 of shape (B, *shape)."""
        return uniform(self.key, self.ids, shape)

    def normal(self, shape: tuple[int, ...] = ()) -> Tensor:
        """From the standard normal distribution, float32 of shape (B, *shape)."""
        return normal(self.key, self.ids, shape)

    def integers(self, low: int, high: int, shape: tuple[int, ...] = ()) -> Tensor:
        """Whole numbers ``low <= number < high``, int64 of shape (B, *shape)."""
        return integers(self.key, self.ids, low, high, shape)
