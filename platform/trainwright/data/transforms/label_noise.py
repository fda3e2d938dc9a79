"""Wrong labels in the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from trainwright.data.table import Column
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import require_column


class LabelNoise:
    """Give some training samples a wrong class, the same one in every epoch. Training only.

    Which samples, and which class they get, depends on the job's seed and the sample alone.
    """

    training_only: ClassVar[bool] = True

    def __init__(
        self,
        rate: Annotated[float, Field(ge=0, le=1)],
        kind: Literal["uniform", "next"] = "uniform",
        column: str = "target",
    ) -> None:
        """Choose how many labels are changed, and into what.

        Args:
            rate: probability that a sample's label is drawn anew.
            kind: ``uniform`` draws from all classes, the right one among them, so that of K classes
                rate * (K - 1) / K end up wrong; ``next`` takes the class that follows, and the
                first one after the last (noise that depends on the class).
            column: a class column.
        """
        self.rate = rate
        self.kind = kind
        self.column = column
        self._num_classes = 0

    def bind(self, columns: Mapping[str, Column]) -> None:
        """Look up the column and its number of classes.

        Raises:
            ValueError: there is no such class column.
        """
        self._num_classes = require_column(self.column, columns, ("class",)).num_classes or 0

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with noise in its labels."""
        labels, lasting = batch[self.column], replace(context, epoch=0)
        shape = tuple(labels.shape[1:])
        chosen = lasting.uniform(batch, shape, stream="chosen") < self.rate
        if self.kind == "next":
            drawn = (labels + 1) % self._num_classes
        else:
            drawn = lasting.integers(batch, 0, self._num_classes, shape, stream="class")
        return {**batch, self.column: torch.where(chosen, drawn, labels)}
