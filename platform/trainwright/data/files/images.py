"""Image columns: lists of numbers, raw bytes, or encoded PNG and JPEG."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainwright.data.files.arrays import Array, by_chunk, dense, finite, refuse_nulls
from trainwright.data.files.column_error import ColumnError

_ENCODED = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_CHANNELS_FIRST = "shape: [channels, height, width]"


def images(column: Any, shape: list[int] | None) -> Array:
    """Images as an array of shape ``(rows, channels, height, width)``.

    Bytes (uint8 lists or binary values) stay uint8, other numbers become float32 as they are.

    Args:
        column: chunked array of (nested) lists of numbers, channels first; of binary values with
            one byte per number; of PNG or JPEG files; or of structs with such a field ``bytes``.
        shape: [channels, height, width]; may be left out for lists nested that deep.

    Raises:
        ColumnError: the values do not have that shape, cannot be decoded, or are no images.
    """
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _from_binary(column, shape)
    if pa.types.is_fixed_size_binary(kind):
        return _from_binary(column.cast(pa.large_binary()), shape)
    values = dense(column)
    if shape is None and values.ndim != 4:
        raise ColumnError(f"needs its {_CHANNELS_FIRST} declared")
    wanted = tuple(shape or values.shape[1:])
    if math.prod(values.shape[1:]) != math.prod(wanted):
        raise size_error(math.prod(values.shape[1:]), list(wanted))
    values = values.reshape(-1, *wanted)
    # Arrow's own memory, which bytes may lie in, cannot be written to, and torch wants it to be.
    return np.require(values, requirements="W") if values.dtype == np.uint8 else finite(values)


def size_error(count: int, shape: list[int], row: int | None = None) -> ColumnError:
    """The error of values that do not fill the declared shape."""
    size = math.prod(shape)
    return ColumnError(f"has {count} numbers per row, but shape {shape} needs {size}", row=row)


def _from_binary(column: Any, shape: list[int] | None) -> Array:
    if shape is None:
        raise ColumnError(f"needs its {_CHANNELS_FIRST} declared")
    if column.null_count:
        refuse_nulls(column)
    lengths = pc.binary_length(column).to_numpy()
    other = np.flatnonzero(lengths != math.prod(shape))
    if not len(other):
        parts = by_chunk(column.cast(pa.large_binary()), _raw_bytes)
        return np.concatenate(parts).reshape(-1, *shape)
    row = int(other[0])
    if _encoding(column[row].as_py()) is None:
        raise size_error(int(lengths[row]), shape, row)
    return _decoded(column, shape)


def _raw_bytes(array: Any) -> Array:
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)
    first, last = offsets[array.offset], offsets[array.offset + len(array)]
    if array.buffers()[2] is None:
        return np.zeros(0, dtype=np.uint8)
    return np.frombuffer(array.buffers()[2], dtype=np.uint8)[first:last]


def _encoding(content: bytes) -> str | None:
    return next((name for magic, name in _ENCODED.items() if content.startswith(magic)), None)


def _decoded(column: Any, shape: list[int]) -> Array:
    """Decode one file per row; the decoder, not this loop, is what takes the time."""
    channels, height, width = shape
    if channels not in _MODES:
        raise ColumnError(f"has PNG or JPEG images, which have 1, 3 or 4 channels, not {channels}")
    result = np.empty((len(column), *shape), dtype=np.uint8)
    for row, value in enumerate(column):
        pixels = _decode_one(value.as_py(), _MODES[channels], row)
        if pixels.shape[:2] != (height, width):
            size = "x".join(map(str, pixels.shape[:2]))
            raise ColumnError(
                f"is an image of {size} pixels, but shape {shape} needs {height}x{width}", row=row
            )
        result[row] = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return result


def _decode_one(content: bytes, mode: str, row: int) -> Array:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=list(_ENCODED.values())) as image:
            return np.asarray(image.convert(mode))
    except (OSError, ValueError, SyntaxError) as error:
        raise ColumnError(f"is no PNG or JPEG image: {error}", row=row) from error
