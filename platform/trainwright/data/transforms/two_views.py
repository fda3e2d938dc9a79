"""Two random views of each sample, for losses that compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from trainwright.data.facts import input_column
from trainwright.data.table import SAMPLE_ID, Column
from trainwright.data.transforms import protocol
from trainwright.data.transforms.protocol import Batch, Transform, TransformContext
from trainwright.data.transforms.selection import describe, require_column
from trainwright.plugins.markers import Nested

VIEWS = ("view_1", "view_2")
FURTHER = "further_views"

_Transforms = Sequence[Callable[..., Transform]]


class TwoViews:
    """Add two augmented copies of a column, ``view_1`` and ``view_2``, made independently.

    Each view goes through a list of transforms with random numbers of its own, which depend on
    (seed, epoch, sample) alone. Losses on more than two views find the others in
    ``further_views``, of shape (num_further, *sample). Evaluation sees views too, the same ones
    each time, so that a loss on views has a value there; augmentations that are for training only
    take part.
    """

    def __init__(
        self,
        transforms: Annotated[_Transforms, Nested("transforms")],
        second: Annotated[_Transforms | None, Nested("transforms")] = None,
        column: str | None = None,
        keep: bool = True,
        num_further: Annotated[int, Field(ge=0)] = 0,
        further: Annotated[_Transforms | None, Nested("transforms")] = None,
    ) -> None:
        """Choose the augmentations and the column.

        Args:
            transforms: applied in this order to make a view.
            second: those of the second view, if it is made differently (weak and strong views).
            column: an image or vector column; default: the model's input.
            keep: whether the column itself stays beside its views.
            num_further: how many views there are besides the two.
            further: those of the further views, if they are made differently (small crops).

        Raises:
            ValueError: no transform, or one that learns from the data.
        """
        if not transforms or second == [] or further == []:
            raise ValueError("two_views needs at least one transform to make a view")
        first = [make() for make in transforms]
        other = first if second is None else [make() for make in second]
        others = first if further is None else [make() for make in further]
        self.transforms = dict(zip(VIEWS, (first, other), strict=True))
        self.further = {f"view_{index + 3}": others for index in range(num_further)}
        self.column = column
        self.keep = keep
        for transform in (*first, *other, *others):
            if hasattr(transform, "fit"):
                raise ValueError(
                    f"{type(transform).__name__} learns from the data and cannot stand inside: "
                    "put it before two_views, or after it with columns: [view_1, view_2]"
                )

    def bind(self, columns: Mapping[str, Column]) -> None:
        """Look up the column.

        Raises:
            ValueError: no such column, a transform cannot work on it, or a view's name is taken.
        """
        name = self.column or input_column(columns)
        if name is None:
            raise ValueError(f"say which column: the data has {describe(columns)}")
        column = require_column(name, columns, ("image", "vector"))
        if taken := [view for view in (*VIEWS, FURTHER) if view in columns]:
            raise ValueError(f"there is a column {taken[0]!r} already")
        self.column = name
        for transforms in self._all.values():
            for transform in transforms:
                protocol.bind(transform, {name: column, SAMPLE_ID: columns[SAMPLE_ID]})

    def new_columns(self, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """The two views, of the same kind as the column, and one of the further ones together."""
        own = columns[self._name]
        together = replace(own, kind="vector", shape=(len(self.further), *own.shape))
        return dict.fromkeys(VIEWS, own) | ({FURTHER: together} if self.further else {})

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with its views."""
        kept = batch if self.keep else {n: x for n, x in batch.items() if n != self.column}
        made = {view: self._view(view, how, batch, context) for view, how in self._all.items()}
        views = {view: made[view] for view in VIEWS}
        if not self.further:
            return {**kept, **views}
        together = torch.stack([made[view] for view in self.further], dim=1)
        return {**kept, **views, FURTHER: together}

    def _view(
        self, view: str, transforms: Sequence[Transform], batch: Batch, context: TransformContext
    ) -> Tensor:
        part = {name: batch[name] for name in (self._name, SAMPLE_ID)}
        for index, transform in enumerate(transforms):
            name = f"{context.name}/{view}/{index}"
            own = TransformContext(context.seed, name, context.epoch, training=True)
            part = dict(transform(part, own))
        return part[self._name]

    @property
    def _all(self) -> dict[str, list[Transform]]:
        return self.transforms | self.further

    @property
    def _name(self) -> str:
        assert self.column is not None, "bind comes first"
        return self.column
