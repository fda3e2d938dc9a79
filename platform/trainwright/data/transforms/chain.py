"""The transforms of a job in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from trainwright.data.table import SAMPLE_ID, Column, Kind, Table
from trainwright.data.transforms import protocol
from trainwright.data.transforms.protocol import Batch, Transform, TransformContext
from trainwright.errors import DataError, Problem

_KINDS: dict[torch.dtype, Kind] = {torch.bool: "mask", torch.int64: "id"}


class TransformChain:
    """Applies transforms in their order; augmentations in training only."""

    def __init__(self, transforms: Sequence[tuple[str, Transform]] = (), seed: int = 0) -> None:
        """Name the transforms; a name that comes twice gets a number.

        Args:
            transforms: (name, transform) pairs; the name enters the transform's random numbers.
            seed: the job's seed.
        """
        self.seed = seed
        self._steps: dict[str, Transform] = {}
        self._columns: dict[str, Column] = {}
        for name, transform in transforms:
            number = 1 + sum(known.split("#")[0] == name for known in self._steps)
            self._steps[name if number == 1 else f"{name}#{number}"] = transform

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def columns(self) -> Mapping[str, Column]:
        """What the columns hold after the chain in evaluation; known after :meth:`fit`."""
        return self._columns

    @property
    def learns(self) -> bool:
        """Whether a transform is fitted."""
        return any(hasattr(transform, "fit") for transform in self._steps.values())

    @property
    def needing_all_rows(self) -> list[tuple[int, str]]:
        """Place and name of the transforms that must be fitted on all of a table."""
        steps = enumerate(self._steps.items())
        return [(i, name) for i, (name, step) in steps if protocol.needs_all_rows(step)]

    def __call__(self, batch: Batch, epoch: int, training: bool, fresh: bool = False) -> Batch:
        """Transform one batch.

        Args:
            batch: as :meth:`Table.take` gives it.
            epoch: from 0; decides the random numbers together with seed, name and sample_id.
            training: False leaves augmentations out.
            fresh: whether the batch is given away, so that its tensors may be changed in place.
        """
        for name, transform in self._steps.items():
            if training or not protocol.is_training_only(transform):
                context = TransformContext(self.seed, name, epoch, training, fresh)
                batch = transform(batch, context)
                fresh = fresh and protocol.keeps_fresh(transform)
        return batch

    def fit(self, table: Table) -> None:
        """Fit each transform on the training split as those before it leave it in evaluation.

        Args:
            table: the training split, before any transform.

        Raises:
            DataError: a transform does not fit the data; every such transform is named.
        """
        problems: list[Problem] = []
        cause: Exception | None = None
        current = table
        for index, name in enumerate(self._steps):
            try:
                current = self._fit_one(index, current)
            except Exception as error:  # transforms are the user's code and may raise anything
                cause = cause or error
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                problems.append(
                    Problem(path=f"data.transforms.{index}", message=f"{name}: {kind}{error}")
                )
        if problems:
            raise DataError(problems) from cause
        self._columns = dict(current.columns)

    def _fit_one(self, index: int, table: Table) -> Table:
        """Fit one transform on ``table`` and return the table after it in evaluation.

        One sample is enough for that where no later transform is fitted.
        """
        (name, transform), *later = list(self._steps.items())[index:]
        protocol.bind(transform, table.columns)
        protocol.fit(transform, table)
        first = table.subset(torch.arange(1))
        training_only = protocol.is_training_only(transform)
        sample = _apply(transform, first, TransformContext(self.seed, name, 0, training_only))
        if training_only:
            return table
        if not any(hasattr(other, "fit") for _, other in later):
            return sample
        return _apply(transform, table, TransformContext(self.seed, name, 0, training=False))

    def state_dict(self) -> dict[str, Any]:
        """What the transforms learnt from the training split: name -> state."""
        return {name: protocol.state_of(transform) for name, transform in self._steps.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what another chain of the same transforms learnt.

        Raises:
            ValueError: the state belongs to other transforms.
        """
        if list(state) != list(self._steps):
            raise ValueError(
                f"the state is of {list(state)}, the transforms are {list(self._steps)}"
            )
        for name, transform in self._steps.items():
            if hasattr(transform, "load_state_dict"):
                transform.load_state_dict(state[name])


def _apply(transform: Transform, table: Table, context: TransformContext) -> Table:
    parts: dict[str, list[torch.Tensor]] = {}
    for indices in table.chunks():
        batch = table.take(indices)
        result = transform(batch, context)
        if not torch.equal(result.get(SAMPLE_ID, indices[:0]), batch[SAMPLE_ID]):
            raise ValueError("a transform must keep the samples, their order and sample_id")
        for column, tensor in result.items():
            parts.setdefault(column, []).append(tensor)
    tensors = {name: torch.cat(part) for name, part in parts.items()}
    known = {**protocol.new_columns(transform, table.columns), **table.columns}
    described = {name: _describe(known.get(name), x) for name, x in tensors.items()}
    return Table(described, tensors)


def _describe(before: Column | None, tensor: torch.Tensor) -> Column:
    """What a transformed column holds; the kind of a new one follows from its type of numbers."""
    shape, dtype = tuple(tensor.shape[1:]), tensor.dtype
    new = Column(_KINDS.get(dtype, "vector"), shape, dtype)
    if before is None:
        return new
    if before.dtype != dtype or (before.kind == "image" and len(shape) != 3):
        return replace(new, num_classes=before.num_classes, labels=before.labels)
    return replace(before, shape=shape)
