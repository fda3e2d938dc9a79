"""Declared columns: from Arrow data to the tensors of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from trainwright.data.files import arrays
from trainwright.data.files.arrays import Array
from trainwright.data.files.classes import class_indices, group_numbers
from trainwright.data.files.column_error import ColumnError
from trainwright.data.files.images import images, size_error
from trainwright.data.table import Column
from trainwright.job.models import ColumnSpec

Converted = dict[str, tuple[Column, torch.Tensor]]


def sources_of(name: str, spec: ColumnSpec) -> list[str]:
    """The file columns that a declared column reads."""
    if spec.source is None:
        return [name]
    return [spec.source] if isinstance(spec.source, str) else list(spec.source)


def file_columns(columns: Mapping[str, ColumnSpec]) -> list[str]:
    """The file columns that all declared columns read, sorted."""
    return sorted({source for name, spec in columns.items() for source in sources_of(name, spec)})


def convert(
    name: str, spec: ColumnSpec, columns: Mapping[str, Any], like: Column | None = None
) -> Converted:
    """The tensors of one declared column; a tokens column gives its mask besides.

    Args:
        name: the declared column.
        spec: its declaration.
        columns: file column -> chunked Arrow array.
        like: the same column of the training split, when this is another source: classes and
            sequence lengths are taken from there.

    Raises:
        ColumnError: the data is not as declared.
    """
    sources = [columns[source] for source in sources_of(name, spec)]
    converted = _CONVERTERS[spec.type](name, spec, sources, like)
    column = converted[name][0]
    if like is not None and column.shape != like.shape:
        raise ColumnError(
            f"has samples of shape {list(column.shape)}, in the training data {list(like.shape)}"
        )
    return converted


def _numbers(name: str, spec: ColumnSpec, columns: Sequence[Any], like: Column | None) -> Converted:
    sources = sources_of(name, spec)
    if len(columns) == 1:
        values = arrays.finite(arrays.dense(columns[0]))
    else:
        values = _side_by_side(columns, sources)
    values = _shaped(values, spec.shape)
    column = Column("vector" if spec.type == "vector" else "value", values.shape[1:], torch.float32)
    return {name: (column, torch.from_numpy(values))}


def _mask(name: str, spec: ColumnSpec, columns: Sequence[Any], like: Column | None) -> Converted:
    if spec.length is None:
        values = _shaped(arrays.dense(columns[0]), spec.shape or _scalar(columns[0]))
    else:
        values = arrays.pad(*arrays.ragged(columns[0]), spec.length)[0]
    if values.dtype != np.bool_ and not np.isin(values, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(values, (0, 1)).reshape(len(values), -1).all(axis=1))[0])
        raise ColumnError("is neither true or false nor 0 or 1", row=row)
    tensor = torch.from_numpy(values.astype(np.bool_))
    return {name: (Column("mask", values.shape[1:], tensor.dtype), tensor)}


def _scalar(column: Any) -> list[int] | None:
    return None if arrays.is_list(column.type) else []


def _image(name: str, spec: ColumnSpec, columns: Sequence[Any], like: Column | None) -> Converted:
    values = images(columns[0], spec.shape)
    return {name: (Column("image", values.shape[1:], torch.float32), torch.from_numpy(values))}


def _class(name: str, spec: ColumnSpec, columns: Sequence[Any], like: Column | None) -> Converted:
    classes = spec.classes
    if like is not None and classes is None:
        classes = list(like.labels) if like.labels else like.num_classes
    indices, count, labels = class_indices(columns[0], classes)
    return {name: (Column("class", (), torch.int64, count, labels), torch.from_numpy(indices))}


def _group(name: str, spec: ColumnSpec, columns: Sequence[Any], like: Column | None) -> Converted:
    groups = torch.from_numpy(group_numbers(columns[0]))
    return {name: (Column("group", (), torch.int64), groups)}


def _tokens(name: str, spec: ColumnSpec, columns: Sequence[Any], like: Column | None) -> Converted:
    values, lengths = arrays.ragged(columns[0])
    if not np.issubdtype(values.dtype, np.integer):
        raise ColumnError("holds numbers that are not whole", allowed="lists of token indices")
    if (lengths == 0).any():
        raise ColumnError("is an empty list", row=int((lengths == 0).argmax()))
    length = spec.length or (like.shape[0] if like else int(lengths.max()))
    if spec.length is None and lengths.max() > length:
        raise ColumnError(
            f"has {int(lengths.max())} tokens, more than any of the training data ({length})",
            row=int(lengths.argmax()),
            mend="declare length; longer lists are then cut",
        )
    size = like.num_classes if like else spec.classes
    size = _vocabulary(values, lengths, size if isinstance(size, int) else None)
    padded, mask = arrays.pad(values.astype(np.int64), lengths, length)
    return {
        name: (Column("tokens", (length,), torch.int64, size), torch.from_numpy(padded)),
        f"{name}_mask": (Column("mask", (length,), torch.bool), torch.from_numpy(mask)),
    }


def _vocabulary(values: Array, lengths: Array, size: int | None) -> int:
    wrong = values < 0 if size is None else (values < 0) | (values >= size)
    if wrong.any():
        index = int(wrong.argmax())
        raise ColumnError(
            "holds a token that does not exist",
            row=int(np.searchsorted(np.cumsum(lengths), index, side="right")),
            got=int(values[index]),
            allowed=f"0 to {size - 1}" if size else "0 or more",
        )
    return size or int(values.max()) + 1


def _side_by_side(columns: Sequence[Any], sources: Sequence[str]) -> Array:
    """Several scalar columns as one array of shape (rows, columns)."""
    values = []
    for column, source in zip(columns, sources, strict=True):
        with _named(source):
            values.append(arrays.dense(column))
            if values[-1].ndim > 1:
                raise ColumnError("is a list, but is joined with others", allowed="scalar columns")
    with np.errstate(over="ignore"):
        stacked = np.stack(values, dtype=np.float32, casting="unsafe")
    # All at once: to look at each column takes longer than the numbers in it, where it has few.
    if not np.isfinite(stacked).all():
        for column, source in zip(values, sources, strict=True):
            with _named(source):
                arrays.finite(column)
    return np.ascontiguousarray(stacked.T)


@contextmanager
def _named(source: str) -> Iterator[None]:
    """Errors name this file column."""
    try:
        yield
    except ColumnError as error:
        error.source = source
        raise


def _shaped(values: Array, shape: list[int] | None) -> Array:
    """``values`` with samples of ``shape``; a single number per row becomes (1,) without one."""
    if shape is None:
        return values[:, None] if values.ndim == 1 else values
    if math.prod(values.shape[1:]) != math.prod(shape):
        raise size_error(math.prod(values.shape[1:]), shape)
    return values.reshape(len(values), *shape)


_CONVERTERS: dict[str, Callable[[str, ColumnSpec, Sequence[Any], Column | None], Converted]] = {
    "image": _image,
    "vector": _numbers,
    "value": _numbers,
    "class": _class,
    "tokens": _tokens,
    "mask": _mask,
    "group": _group,
}
