"""What a transform is: a callable on batches, and the randomness it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from trainwright.data import random
from trainwright.data.table import SAMPLE_ID, Column, Table

Batch = dict[str, torch.Tensor]
"""Column name -> tensor with the samples along dimension 0; always holds ``sample_id``."""


@dataclass(frozen=True)
class TransformContext:
    """When a transform is called, and random numbers that belong to the samples.

    The numbers depend on (seed, name, stream, epoch, sample_id) and on nothing else: not on the
    batch, the worker or the calls made before.

    Attributes:
        seed: the job's seed.
        name: name of the transform in its chain, unique there.
        epoch: from 0; the same sample gets other numbers in another epoch.
        training: False in evaluation.
        fresh: whether the memory of each column belongs to this batch and this column alone, so
            that a transform may change it in place. Otherwise it can be another column's, a
            table's or a cache's, and may only be read.
    """

    seed: int
    name: str
    epoch: int
    training: bool
    fresh: bool = False

    def uniform(
        self, batch: Mapping[str, torch.Tensor], shape: tuple[int, ...] = (), stream: str = ""
    ) -> torch.Tensor:
        """Float32 in [0, 1), shape ``(B, *shape)``; ``stream`` separates draws of one call."""
        return random.uniform(self._key(stream), batch[SAMPLE_ID], shape)

    def normal(
        self, batch: Mapping[str, torch.Tensor], shape: tuple[int, ...] = (), stream: str = ""
    ) -> torch.Tensor:
        """Standard normal float32, shape ``(B, *shape)``; ``stream`` as for :meth:`uniform`."""
        return random.normal(self._key(stream), batch[SAMPLE_ID], shape)

    def integers(
        self,
        batch: Mapping[str, torch.Tensor],
        low: int,
        high: int,
        shape: tuple[int, ...] = (),
        stream: str = "",
    ) -> torch.Tensor:
        """Int64 in ``[low, high)``, shape ``(B, *shape)``; ``stream`` as for :meth:`uniform`."""
        return random.integers(self._key(stream), batch[SAMPLE_ID], low, high, shape)

    def _key(self, stream: str) -> int:
        return random.key(self.seed, "transform", self.name, stream, self.epoch)


@runtime_checkable
class Transform(Protocol):
    """A transform: any callable of this form. Further attributes are optional.

    - ``training_only: ClassVar[bool]``: True for augmentations, which evaluation leaves out.
    - ``keeps_fresh: ClassVar[bool]``: True where it is sure that, if the batch it was given was
      ``fresh``, the one that it returns is: it gives no memory to two columns and keeps none.
      Without it no transform that comes later changes anything in place.
    - ``bind(columns: Mapping[str, Column]) -> None``: told what the columns hold, before ``fit``.
    - ``fit(table: Table) -> None``: learns from the training split, as the transforms before this
      one leave it in evaluation; of a streamed split from a part, some 65,536 rows.
    - ``needs_all_rows: ClassVar[bool]``: True where a part will not do; streaming is then refused.
    - ``new_columns(columns) -> Mapping[str, Column]``: what the columns that it adds hold; without
      it their kind is guessed from the type of their numbers.
    - ``state_dict() -> dict`` and ``load_state_dict(state)``: what ``fit`` learnt.
    """

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The transformed batch, as a new dictionary with the same samples in the same order."""
        ...


def is_training_only(transform: Transform) -> bool:
    """Whether evaluation leaves the transform out."""
    return bool(getattr(transform, "training_only", False))


def keeps_fresh(transform: Transform) -> bool:
    """Whether a batch whose memory is its own is still so after the transform."""
    return bool(getattr(transform, "keeps_fresh", False))


def needs_all_rows(transform: Transform) -> bool:
    """Whether the transform must be fitted on every row."""
    return bool(getattr(transform, "needs_all_rows", False))


def bind(transform: Transform, columns: Mapping[str, Column]) -> None:
    """Tell the transform what the columns hold, if it wants to know.

    Raises:
        ValueError: the transform cannot work on these columns.
    """
    if hasattr(transform, "bind"):
        transform.bind(columns)


def fit(transform: Transform, table: Table) -> None:
    """Let the transform learn from ``table``, if it does."""
    if hasattr(transform, "fit"):
        transform.fit(table)


def new_columns(transform: Transform, columns: Mapping[str, Column]) -> Mapping[str, Column]:
    """What the transform says of the columns that it adds; empty when it says nothing."""
    if not hasattr(transform, "new_columns"):
        return {}
    declared: Mapping[str, Column] = transform.new_columns(columns)
    return declared


def state_of(transform: Transform) -> dict[str, Any]:
    """What ``fit`` learnt; empty for a transform without state."""
    return dict(transform.state_dict()) if hasattr(transform, "state_dict") else {}
