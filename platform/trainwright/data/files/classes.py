"""Class columns: labels of any kind to indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainwright.data.files.arrays import Array, is_text, refuse_nulls, wrong_type
from trainwright.data.files.column_error import ColumnError
from trainwright.suggest import nearest, one_of

Labels = tuple[str | int, ...]


def class_indices(column: Any, classes: int | list[str | int] | None) -> tuple[Array, int, Any]:
    """Indices of the classes of a column.

    Args:
        column: chunked array of whole numbers, booleans or text.
        classes: number of classes of a column of indices; or the labels in index order; None
            takes the values as indices if they are exactly 0, 1, ... C-1, and otherwise
            numbers the distinct values in sorted order.

    Returns:
        ``(int64 indices, number of classes, labels or None)``; no labels where the column holds
        the indices themselves.

    Raises:
        ColumnError: wrong type, a null, or a value that is not among the classes.
    """
    values = _plain(column)
    if isinstance(classes, int):
        return _checked(values, classes), classes, None
    if classes is None:
        found = pc.unique(values).to_pylist()
        if pa.types.is_boolean(column.type):
            return _numpy(values), 2, None
        if sorted(found) == list(range(len(found))):
            return _numpy(values), len(found), None
        classes = sorted(found)
    return _looked_up(values, classes), len(classes), tuple(classes)


def group_numbers(column: Any) -> Array:
    """The number of each row's group, int64 of shape (rows,).

    Args:
        column: chunked array of whole numbers, which stay, or of text, whose distinct values are
            numbered from 0 as they come.

    Raises:
        ColumnError: wrong type, or a null.
    """
    values = _plain(column)
    if pa.types.is_integer(values.type):
        return _numpy(values)
    return _numpy(pc.index_in(values, value_set=pc.unique(values)))


def _plain(column: Any) -> Any:
    kind = column.type
    if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise wrong_type(kind, "whole numbers, booleans or text")
    if column.null_count:
        refuse_nulls(column)
    return column.cast(pa.string() if is_text(kind) else pa.int64())


def _numpy(values: Any) -> Array:
    # A copy: arrays that share Arrow's memory are read-only, which torch does not allow.
    return np.array(values.to_numpy(), dtype=np.int64)


def _checked(values: Any, num_classes: int) -> Array:
    if not pa.types.is_integer(values.type):
        raise ColumnError(
            "holds text, but classes is a number",
            got=values[0].as_py() if len(values) else None,
            allowed=f"indices 0 to {num_classes - 1}, or classes: [list of labels]",
        )
    indices = _numpy(values)
    wrong = np.flatnonzero((indices < 0) | (indices >= num_classes))
    if len(wrong):
        raise ColumnError(
            "holds a class that does not exist",
            row=int(wrong[0]),
            got=int(indices[wrong[0]]),
            allowed=f"0 to {num_classes - 1}, as there are {num_classes} classes",
        )
    return indices


def _looked_up(values: Any, labels: list[str | int]) -> Array:
    if not all(isinstance(label, int) for label in labels) or pa.types.is_string(values.type):
        values = values.cast(pa.string())
        known = pa.array([str(label) for label in labels], pa.string())
    else:
        known = pa.array(labels, pa.int64())
    indices = pc.index_in(values, value_set=known)
    if indices.null_count:
        row = int(np.flatnonzero(indices.is_null().to_numpy())[0])
        got = values[row].as_py()
        raise ColumnError(
            "holds a class that does not exist",
            row=row,
            got=got,
            allowed=one_of(str(label) for label in labels),
            nearest=nearest(got, (str(label) for label in labels)),
        )
    return _numpy(indices)
