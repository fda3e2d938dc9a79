"""Samples in memory: named, typed columns of equal length."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch

from trainwright.data.hashes import Ints
from trainwright.data.rows import Rows

Kind = Literal["image", "vector", "value", "class", "tokens", "mask", "group", "id"]

IGNORED = -100
"""Stands in a column of tokens to predict where there is none; losses and metrics leave it out."""

SAMPLE_ID = "sample_id"
"""The reserved column: each sample's row number in its source, before any split."""

_DTYPES: dict[str, torch.dtype] = {
    "image": torch.float32,
    "vector": torch.float32,
    "value": torch.float32,
    "class": torch.int64,
    "tokens": torch.int64,
    "mask": torch.bool,
    "group": torch.int64,
    "id": torch.int64,
}
_COMPACT: dict[str, tuple[torch.dtype, ...]] = {
    "image": (torch.uint8,),
    "tokens": (torch.int16, torch.int32),
}
"""Kind -> types in which it may be stored besides its own; :meth:`Table.take` gives its own."""


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        kind: image (channels, height, width), vector, value (numbers to predict), class (index),
            tokens (indices, padded), mask (True where something counts), group (number of the
            bag, query or person that the sample belongs to) or id.
        shape: shape of one sample, without the batch dimension.
        dtype: of the tensors that :meth:`Table.take` gives.
        num_classes: of a class column; size of the vocabulary of a tokens column.
        labels: what the class indices stand for in the source, in index order.
    """

    kind: Kind
    shape: tuple[int, ...]
    dtype: torch.dtype
    num_classes: int | None = None
    labels: tuple[str | int, ...] | None = None

    def __str__(self) -> str:
        classes = f" of {self.num_classes} classes" if self.kind == "class" else ""
        return f"{self.kind} {list(self.shape)}{classes}"


class Table(Rows):
    """Immutable columns of samples on the CPU; always with an int64 column ``sample_id``.

    Images may be stored as bytes (uint8), which :meth:`take` gives as float32 in [0, 1]; tokens
    as int16 or int32, which it gives as int64.

    Attributes:
        columns: name -> what it holds.
        tensors: name -> contiguous tensor of shape ``(len(table), *shape)``.
    """

    def __init__(self, columns: Mapping[str, Column], tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over ``tensors``, which must not be changed afterwards.

        Args:
            columns: description of every tensor; ``sample_id`` may be left out.
            tensors: the values; ``sample_id`` is 0, 1, 2... when left out.

        Raises:
            ValueError: names, lengths, shapes, types or class indices do not fit together.
        """
        if columns.keys() ^ tensors.keys():
            raise ValueError(f"columns {sorted(columns)} but tensors {sorted(tensors)}")
        lengths = {name: tensor.shape[0] if tensor.ndim else 0 for name, tensor in tensors.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns must have equal lengths and at least one must be: {lengths}")
        self.columns = dict(columns)
        self.tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        if SAMPLE_ID not in columns:
            self.columns[SAMPLE_ID] = Column("id", (), torch.int64)
            self.tensors[SAMPLE_ID] = torch.arange(next(iter(lengths.values())))
        for name, column in self.columns.items():
            _check(name, column, self.tensors[name])
        # The same memory for numpy, whose ``take`` of a batch costs less than ``index_select``;
        # and the columns that are not handed out as they are stored.
        self._arrays = {name: tensor.numpy() for name, tensor in self.tensors.items()}
        self._packed = [n for n, t in self.tensors.items() if t.dtype != self.columns[n].dtype]

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, torch.Tensor | np.ndarray[Any, Any]],
        kinds: Mapping[str, Kind],
        labels: Mapping[str, Sequence[str | int]] | None = None,
    ) -> Table:
        """Build a table from arrays, deriving shapes and numbers of classes.

        Args:
            arrays: name -> values, first dimension = samples. Numbers become float32 (images of
                bytes stay bytes), classes and tokens int64, masks bool. A one-dimensional value
                column gets shape (1,), so that it fits a model's one output.
            kinds: name -> kind, for every array.
            labels: class names in index order, for class columns that have any.

        Raises:
            ValueError: an array without a kind, an unknown kind, or as for the constructor.

        Example:
            >>> import numpy as np
            >>> Table.from_arrays(
            ...     {"features": np.zeros((4, 2)), "target": np.array([0, 1, 1, 0])},
            ...     {"features": "vector", "target": "class"},
            ... )
            Table(4 samples; features: vector [2], target: class [] of 2 classes)
        """
        labels = labels or {}
        columns, tensors = {}, {}
        if missing := sorted(arrays.keys() ^ kinds.keys()):
            raise ValueError(f"arrays and kinds must have the same names; only in one: {missing}")
        for name, array in arrays.items():
            if kinds[name] not in get_args(Kind):
                raise ValueError(f"column {name}: kind {kinds[name]!r} is none of {get_args(Kind)}")
            tensors[name] = _tensor_of(kinds[name], torch.as_tensor(array))
            columns[name] = _column_of(kinds[name], tensors[name], labels.get(name))
        return cls(columns, tensors)

    def with_classes(self, sizes: Mapping[str, int]) -> Table:
        """The same table with other numbers of classes, or sizes of vocabularies, by column."""
        described = {n: replace(self.columns[n], num_classes=size) for n, size in sizes.items()}
        return Table({**self.columns, **described}, self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[SAMPLE_ID].shape[0])

    @cached_property
    def num_ids(self) -> int:
        """One more than the largest ``sample_id``."""
        return int(self.tensors[SAMPLE_ID].max()) + 1 if len(self) else 0

    def __repr__(self) -> str:
        parts = (f"{n}: {c}" for n, c in self.columns.items() if c.kind != "id")
        return f"Table({len(self)} samples; {', '.join(parts)})"

    def take(self, indices: torch.Tensor) -> dict[str, torch.Tensor]:
        """The samples at ``indices`` (int64, one-dimensional), as fresh tensors.

        Returns:
            name -> tensor of shape ``(len(indices), *shape)``; free to be changed in place.
        """
        return self.take_rows(indices.numpy())

    def take_rows(self, rows: Ints) -> dict[str, torch.Tensor]:
        """:meth:`take` of rows in an array."""
        taken = {n: torch.from_numpy(array.take(rows, 0)) for n, array in self._arrays.items()}
        for name in self._packed:
            taken[name] = as_given(self.columns[name], taken[name])
        return taken

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without the second view of its memory, which would be a copy."""
        return Table, (self.columns, self.tensors)

    def take_column(self, name: str, indices: torch.Tensor) -> torch.Tensor:
        """One column of :meth:`take`."""
        return as_given(self.columns[name], self.tensors[name].index_select(0, indices))

    def subset(self, indices: torch.Tensor) -> Table:
        """A table of the samples at ``indices``; they keep their ``sample_id``."""
        return Table(
            self.columns, {n: tensor.index_select(0, indices) for n, tensor in self.tensors.items()}
        )

    def fingerprint(self) -> str:
        """Hash of the content: 32 hexadecimal digits, equal for equal columns on any machine."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name in sorted(self.columns):
            tensor = self.tensors[name]
            digest.update(f"{name}|{self.columns[name]!r}|{tuple(tensor.shape)}|".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:32]


def as_given(column: Column, stored: torch.Tensor) -> torch.Tensor:
    """Stored values as :meth:`Table.take` gives them; the same tensor if they are so."""
    if stored.dtype == torch.uint8:
        return stored.to(torch.float32).div_(255.0)
    # Asked here: ``to`` takes a while to find that there is nothing to do.
    return stored if stored.dtype == column.dtype else stored.to(column.dtype)


def _check(name: str, column: Column, tensor: torch.Tensor) -> None:
    if tensor.dtype not in (column.dtype, *_COMPACT.get(column.kind, ())):
        raise ValueError(f"column {name}: declared {column.dtype}, got {tensor.dtype}")
    if column.dtype != _DTYPES[column.kind]:
        raise ValueError(f"column {name}: {column.kind} must be {_DTYPES[column.kind]}")
    if tuple(tensor.shape[1:]) != column.shape:
        raise ValueError(f"column {name}: declared {column.shape}, got {tuple(tensor.shape[1:])}")
    if column.kind == "image" and len(column.shape) != 3:
        raise ValueError(f"column {name}: images are (channels, height, width), got {column.shape}")
    if tensor.device.type != "cpu":
        raise ValueError(f"column {name}: tables live on the CPU, got {tensor.device}")
    if name == SAMPLE_ID and (column.kind != "id" or column.shape):
        raise ValueError(f"{SAMPLE_ID} is reserved for the row number: kind id, shape ()")
    if column.kind == "class" and column.num_classes is None:
        raise ValueError(f"column {name}: a class column needs num_classes")
    if column.num_classes is not None and column.kind in ("class", "tokens") and len(tensor):
        counted = tensor[tensor != IGNORED] if column.kind == "tokens" else tensor
        if not counted.numel():
            return
        low, high = (int(limit) for limit in torch.aminmax(counted))
        if low < 0 or high >= column.num_classes:
            raise ValueError(
                f"column {name}: {column.num_classes} classes allow indices 0 to "
                f"{column.num_classes - 1}, got {low} to {high}"
            )


def _tensor_of(kind: Kind, tensor: torch.Tensor) -> torch.Tensor:
    if kind == "value" and tensor.ndim == 1:
        tensor = tensor.unsqueeze(1)
    if tensor.dtype in _COMPACT.get(kind, ()):
        return tensor
    return tensor.to(_DTYPES[kind])


def _column_of(kind: Kind, tensor: torch.Tensor, labels: Sequence[str | int] | None) -> Column:
    num_classes = None
    if kind in ("class", "tokens"):
        highest = int(tensor.max()) if tensor.numel() else 0
        num_classes = len(labels) if labels else max(highest, 0) + 1
    return Column(
        kind=kind,
        shape=tuple(tensor.shape[1:]),
        dtype=_DTYPES[kind],
        num_classes=num_classes,
        labels=tuple(labels) if labels else None,
    )
