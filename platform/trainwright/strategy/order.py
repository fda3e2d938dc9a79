"""The order of an epoch, as strategies see and change it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

SAMPLE_WEIGHT = "sample_weight"
"""The reserved batch column by which the loss of each sample is multiplied."""

Weights = npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Order:
    """Which samples an epoch trains on, in which order and with which weights.

    Attributes:
        indices: rows of the training table in training order, int64 of shape (N,); a row may
            stand in it several times or not at all, but N stays the size of the table.
        weights: the weight of the sample at each position, float32 of shape (N,); None for no
            weighting. The loss of an update of M samples is then ``sum(w_i * loss_i) / M``.
        sample_ids: the ``sample_id`` of each row of the table, int64 of shape (N,), for reading
            per-sample tables: ``table[torch.from_numpy(order.sample_ids)]`` has a value per row.
    """

    indices: npt.NDArray[np.int64]
    weights: Weights
    sample_ids: npt.NDArray[np.int64]

    def replaced(self, indices: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Order:
        """This order with other rows and weights, given per position; tensors may be given too."""
        return replace(
            self,
            indices=np.asarray(indices, dtype=np.int64).copy(),
            weights=None if weights is None else np.asarray(weights, dtype=np.float32).copy(),
        )

    def check(self) -> None:
        """Refuse what cannot be trained on.

        Raises:
            ValueError: another length, rows that do not exist, or weights that are no numbers.
        """
        rows = len(self.sample_ids)
        if self.indices.dtype != np.int64:
            raise ValueError(f"an order holds int64 row numbers, got {self.indices.dtype}")
        if self.indices.shape != (rows,):
            raise ValueError(
                f"an order must keep the table's length, {rows}, got shape {self.indices.shape}"
            )
        if rows and not 0 <= int(self.indices.min()) <= int(self.indices.max()) < rows:
            raise ValueError(
                f"an order may name rows 0 to {rows - 1}, got "
                f"{int(self.indices.min())} to {int(self.indices.max())}"
            )
        if self.weights is None:
            return
        if self.weights.shape != (rows,):
            raise ValueError(f"weights must have shape ({rows},), got {self.weights.shape}")
        if not np.isfinite(self.weights).all():
            raise ValueError("weights must be finite numbers")
