"""One rank's share of a checkpoint: a safetensors file, streamed out and read back in ranges."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch

from trainwright.checkpoint.dtypes import dtype_from_header, header_name
from trainwright.checkpoint.files import FileRecord, write_file
from trainwright.checkpoint.verified import VerifiedFile
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

_ALIGNMENT = 8


@dataclass(frozen=True)
class ShardTensor:
    """A tensor to be written.

    Attributes:
        key: its unique name in the file.
        shape: its shape.
        dtype: its dtype.
        load: gives the CPU tensor when its turn to be written comes; any shape, same elements.
    """

    key: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], torch.Tensor]

    @property
    def num_bytes(self) -> int:
        """Size of the elements in bytes."""
        return prod(self.shape) * self.dtype.itemsize


def write_shard(
    folder: Folder, name: str, tensors: Sequence[ShardTensor], metadata: Mapping[str, str]
) -> FileRecord:
    """Write a safetensors file that any reader of the format opens; one tensor in memory at once.

    Dtypes that the format does not know are written as their bytes, with dtype U8.

    Args:
        folder: where to write; created if needed.
        name: the file's name.
        tensors: unique by key; stored by falling element size, otherwise in this order.
        metadata: text kept in the header.
    """
    ordered = sorted(tensors, key=lambda tensor: -tensor.dtype.itemsize)
    header = _header(ordered, metadata)
    size = len(header) + sum(tensor.num_bytes for tensor in ordered)
    return write_file(folder, name, _parts(header, ordered), size)


def _parts(header: bytes, ordered: Sequence[ShardTensor]) -> Iterator[memoryview]:
    yield memoryview(header)
    for tensor in ordered:
        yield _raw_bytes(tensor.load()).numpy().data


def _header(ordered: Sequence[ShardTensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for tensor in ordered:
        stop = offset + tensor.num_bytes
        code = header_name(tensor.dtype)
        # Written as bytes, an element of another size does not fit the shape: flat instead.
        same = tensor.dtype.itemsize == 1 or code != "U8"
        shape = list(tensor.shape) if same else [tensor.num_bytes]
        header[tensor.key] = {"dtype": code, "shape": shape, "data_offsets": [offset, stop]}
        offset = stop
    if len(header) != len(ordered) + 1:
        raise CheckpointError("two tensors of one shard have the same key")
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _raw_bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).contiguous().view(torch.uint8)


@dataclass(frozen=True)
class _Place:
    dtype: str
    start: int
    stop: int


class Shard:
    """A written shard, read tensor by tensor or range by range with every byte verified."""

    def __init__(self, file: VerifiedFile, name: str) -> None:
        self.file = file
        self._name = name

    def keys(self) -> list[str]:
        """Names of the tensors in the file, in the order they are stored."""
        return list(self._places)

    def tensor(self, key: str) -> torch.Tensor:
        """The whole tensor ``key``, flat, in the dtype that the header names."""
        place = self._place(key)
        return self.file.read(place.start, place.stop).view(dtype_from_header(place.dtype))

    def elements(self, key: str, start: int, numel: int, dtype: torch.dtype) -> torch.Tensor:
        """``numel`` elements from ``start`` of the flat tensor ``key`` as a fresh (numel,) tensor.

        Raises:
            CheckpointError: damage, no such tensor, or it is shorter than that.
        """
        place = self._place(key)
        first = place.start + start * dtype.itemsize
        stop = first + numel * dtype.itemsize
        if header_name(dtype) != place.dtype or stop > place.stop:
            raise CheckpointError(f"{self._name}: {key!r} is not what the manifest says")
        return self.file.read(first, stop).view(dtype)

    def _place(self, key: str) -> _Place:
        place = self._places.get(key)
        if place is None:
            raise CheckpointError(f"{self._name}: holds no {key!r}, although the manifest says so")
        return place

    @cached_property
    def _places(self) -> dict[str, _Place]:
        length = int(self.file.read(0, 8).view(torch.int64).item())
        content = bytes(self.file.read(8, 8 + length).numpy())
        try:
            places: dict[str, _Place] = {}
            for key, entry in json.loads(content).items():
                if key != "__metadata__":
                    start, stop = entry["data_offsets"]
                    dtype_from_header(entry["dtype"])
                    places[key] = _Place(entry["dtype"], 8 + length + start, 8 + length + stop)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{self._name}: its header cannot be read: {error!r}") from error
        return places
