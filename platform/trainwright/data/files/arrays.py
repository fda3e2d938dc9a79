"""Arrow columns to numpy arrays, without a loop over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trainwright.data.files.column_error import ColumnError

Array = npt.NDArray[Any]
_T = TypeVar("_T")
_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


def dense(column: Any) -> Array:
    """Numbers or (nested) lists of equal lengths as an array of shape ``(rows, *sample)``.

    Args:
        column: chunked array of numbers, booleans, or lists of them at any depth.

    The result may share Arrow's memory, which cannot be written to.

    Raises:
        ColumnError: nulls, lists of unequal lengths, or values that are no numbers.
    """
    if is_text(column.type):
        raise _text_error(column)
    parts = by_chunk(column, _dense_chunk)
    first, row = parts[0].shape[1:], 0
    for part in parts:
        if part.shape[1:] != first:
            raise ragged_error(row, part.shape[1:], first)
        row += len(part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def ragged(column: Any) -> tuple[Array, Array]:
    """Lists of numbers of any lengths as ``(all values in a row, length of each list)``.

    Raises:
        ColumnError: not lists of numbers, or nulls.
    """
    parts = by_chunk(column, _ragged_chunk)
    return np.concatenate([v for v, _ in parts]), np.concatenate([n for _, n in parts])


def pad(values: Array, lengths: Array, length: int) -> tuple[Array, Array]:
    """Lists as rows of ``length``, longer ones cut, shorter ones filled with 0.

    Args:
        values: all values one list after the other.
        lengths: length of each list.
        length: of the result's rows.

    Returns:
        The padded values and a mask that is True where a value stands, both (rows, length).
    """
    mask: Array = np.arange(length) < lengths[:, None]
    position = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded = np.zeros(mask.shape, dtype=values.dtype)
    padded[mask] = values[position < length]
    return padded, mask


def finite(values: Array, out: Array | None = None) -> Array:
    """``values`` as float32, in memory of their own.

    Args:
        values: of any type of numbers.
        out: where to write them, of the same shape.

    Raises:
        ColumnError: NaN, infinity, or too large for float32; the first such row is named.
    """
    with np.errstate(over="ignore"):
        result = np.empty(values.shape, np.float32) if out is None else out
        np.copyto(result, values, casting="unsafe")
    if not np.isfinite(result).all():
        wrong = ~np.isfinite(result)
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise ColumnError(
            "holds a number that is NaN, infinite or too large",
            row=int(place[0]),
            got=float(values[place]),
            allowed="finite float32 numbers",
            mend="fill or drop such rows",
        )
    return result


def by_chunk(column: Any, convert: Callable[[Any], _T]) -> list[_T]:
    """``convert`` applied to each chunk (at least one); rows in errors count over all chunks."""
    parts, row = [], 0
    for chunk in column.chunks or [pa.array([], type=column.type)]:
        try:
            parts.append(convert(chunk))
        except ColumnError as error:
            raise error.later(row) from None
        row += len(chunk)
    return parts


def is_list(kind: Any) -> bool:
    """Whether an Arrow type is a list of any sort."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def refuse_nulls(array: Any, per_row: int = 1) -> None:
    """Raise a ColumnError when ``array`` (with ``per_row`` elements to a row) holds a null."""
    if array.null_count:
        index = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise ColumnError("is null", row=index // per_row, mend="fill or drop such rows")


def ragged_error(row: int, got: Any, first: Any) -> ColumnError:
    """The error of a row that differs in length from the rows before it."""
    return ColumnError(
        f"has another length ({_count(got)}) than the rows before it ({_count(first)})",
        row=row,
        allowed="rows of equal length; for sequences of any length use type: tokens",
    )


def _count(shape: Any) -> str:
    return "x".join(map(str, shape)) if isinstance(shape, tuple) else str(shape)


def _dense_chunk(array: Any) -> Array:
    shape: list[int] = []
    per_row, rows = 1, len(array)
    while is_list(array.type):
        refuse_nulls(array, per_row)
        if pa.types.is_fixed_size_list(array.type):
            width = array.type.list_size
        else:
            lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
            width = int(lengths[0]) if len(lengths) else 0
            other = np.flatnonzero(lengths != width)
            if len(other):
                raise ragged_error(int(other[0]) // per_row, int(lengths[other[0]]), width)
        array = array.flatten()
        shape.append(width)
        per_row *= max(width, 1)
    return _numbers(array, per_row).reshape(rows, *shape)


def _ragged_chunk(array: Any) -> tuple[Array, Array]:
    if not is_list(array.type):
        raise wrong_type(array.type, "lists of whole numbers")
    refuse_nulls(array)
    lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False).astype(np.int64)
    try:
        return _numbers(array.flatten(), 1), lengths
    except ColumnError as error:  # its row counts values; find the list that holds it
        if error.row is not None:
            error.row = int(np.searchsorted(np.cumsum(lengths), error.row, side="right"))
        raise


def _numbers(array: Any, per_row: int) -> Array:
    kind = array.type
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise wrong_type(kind, "numbers, or lists of numbers")
    refuse_nulls(array, per_row)
    values: Array = array.to_numpy(zero_copy_only=False)
    return values


def wrong_type(kind: Any, allowed: str) -> ColumnError:
    """The error of a column whose Arrow type cannot be used at all."""
    return ColumnError(f"is of type {kind}", allowed=allowed)


def _text_error(column: Any) -> ColumnError:
    is_number = pc.match_substring_regex(column, _NUMBER).fill_null(False)
    wrong = np.flatnonzero(~is_number.to_numpy())
    if not len(wrong):
        return wrong_type(column.type, "numbers; these are written as text")
    row = int(wrong[0])
    return ColumnError(
        "is text where a number is needed", row=row, got=column[row].as_py(), allowed="numbers"
    )
