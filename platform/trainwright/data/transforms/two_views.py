"""Two random views of each sample, for losses that compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from trainwright.data.facts import input_column
from trainwright.data.table import SAMPLE_ID, Column
from trainwright.data.transforms import protocol
from trainwright.data.transforms.protocol import Batch, Transform, TransformContext
from trainwright.data.transforms.selection import describe, require_column
from trainwright.plugins.markers import Nested

VIEWS = ("view_1", "view_2")

_Transforms = Sequence[Callable[..., Transform]]


class TwoViews:
    """Add two augmented copies of a column, ``view_1`` and ``view_2``, made independently.

    Each view goes through a list of transforms with random numbers of its own, which depend on
    (seed, epoch, sample) alone. Evaluation sees views too, the same ones each time, so that a loss
    on views has a value there; augmentations that are for training only take part.
    """

    def __init__(
        self,
        transforms: Annotated[_Transforms, Nested("transforms")],
        second: Annotated[_Transforms | None, Nested("transforms")] = None,
        column: str | None = None,
        keep: bool = True,
    ) -> None:
        """Choose the augmentations and the column.

        Args:
            transforms: applied in this order to make a view.
            second: those of the second view, if it is made differently (weak and strong views).
            column: an image or vector column; default: the model's input.
            keep: whether the column itself stays beside its views.

        Raises:
            ValueError: no transform, or one that learns from the data.
        """
        if not transforms or second == []:
            raise ValueError("two_views needs at least one transform to make a view")
        first = [make() for make in transforms]
        other = first if second is None else [make() for make in second]
        self.transforms = dict(zip(VIEWS, (first, other), strict=True))
        self.column = column
        self.keep = keep
        for transform in (*first, *other):
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
        if taken := [view for view in VIEWS if view in columns]:
            raise ValueError(f"there is a column {taken[0]!r} already")
        self.column = name
        for transforms in self.transforms.values():
            for transform in transforms:
                protocol.bind(transform, {name: column, SAMPLE_ID: columns[SAMPLE_ID]})

    def new_columns(self, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """The views: of the same kind as the column."""
        return dict.fromkeys(VIEWS, columns[self._name])

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with both views."""
        kept = batch if self.keep else {n: x for n, x in batch.items() if n != self.column}
        return {**kept, **{view: self._view(view, batch, context)[self._name] for view in VIEWS}}

    def _view(self, view: str, batch: Batch, context: TransformContext) -> Batch:
        part = {name: batch[name] for name in (self._name, SAMPLE_ID)}
        for index, transform in enumerate(self.transforms[view]):
            name = f"{context.name}/{view}/{index}"
            own = TransformContext(context.seed, name, context.epoch, training=True)
            part = transform(part, own)
        return part

    @property
    def _name(self) -> str:
        assert self.column is not None, "bind comes first"
        return self.column
