"""Zero mean and unit variance, measured on the training split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from trainwright.data.table import Kind, Table
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform

_CACHED = 2**17  # numbers measured at a time: as float64 they stay in the processor's cache
_SMALLEST = 1e-7  # spread relative to the mean below which float32 numbers count as constant


class Standardize(ColumnTransform):
    """Subtract the mean and divide by the standard deviation, both of the training split.

    Images are measured per channel, all other columns per element of a sample. A feature that is
    constant in the training split is only shifted. The deviation is the population's (divisor n).
    Of a streamed split (``data.streaming``) the first rows of up to 32 row groups are measured, in
    all at most 65,536 rows or 64 MiB.
    """

    keeps_fresh: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image", "vector", "value")

    def __init__(self, columns: list[str] | str | None = None) -> None:
        """Choose the columns.

        Args:
            columns: default: every image and vector column. A value column has to be named.
        """
        super().__init__(columns)
        self._mean: dict[str, torch.Tensor] = {}
        self._std: dict[str, torch.Tensor] = {}

    def fit(self, table: Table) -> None:
        """Measure mean and deviation, in float64 and in two passes."""
        for name in self.names:
            total, count = _accumulate(table, name, None)
            mean = total / count
            squares, count = _accumulate(table, name, mean)
            std = (squares / count).sqrt()
            std = torch.where(std <= _SMALLEST * mean.abs(), torch.ones_like(std), std)
            self._mean[name], self._std[name] = mean.float(), std.float()

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """``(x - mean) / std`` for the chosen columns."""
        subtract = torch.Tensor.sub_ if context.fresh else torch.Tensor.sub
        scaled = {n: subtract(batch[n], self._mean[n]).div_(self._std[n]) for n in self.names}
        return {**batch, **scaled}

    def state_dict(self) -> dict[str, Any]:
        """Mean and deviation: ``{"mean": {column: tensor}, "std": {column: tensor}}``."""
        return {"mean": dict(self._mean), "std": dict(self._std)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over mean and deviation."""
        self._mean, self._std = dict(state["mean"]), dict(state["std"])
        self.names = list(self._mean)


def _accumulate(table: Table, name: str, mean: torch.Tensor | None) -> tuple[torch.Tensor, int]:
    """Sum (or sum of squared distances from ``mean``) over samples and pixels, and their number."""
    is_image = table.columns[name].kind == "image"
    dims, total, count = ([0, 2, 3] if is_image else [0]), torch.zeros((), dtype=torch.float64), 0
    rows = max(1, _CACHED // math.prod(table.columns[name].shape))
    for indices in table.chunks(rows):
        x = table.take_column(name, indices).double()
        if mean is not None:
            x.sub_(mean).square_()
        total = total + x.sum(dim=dims, keepdim=True)[0]
        count += x.numel() // total.numel()
    return total, count
