"""A file with the states of some clients, from which single ones are read."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainwright.checkpoint.dtypes import dtype_from_header
from trainwright.errors import CheckpointError
from trainwright.federated.aggregator import State
from trainwright.storage import Folder

ENDING = ".safetensors"
_CLIENTS = "clients"
_SUM = "crc32|"
_STATE = "state|"
_INDEX_SUM = "crc32"


@dataclass(frozen=True)
class StateShard:
    """A safetensors file: each tensor of the states with one row for each client.

    Attributes:
        folder: where it is.
        name: of the file.
        clients: client -> its row.
        start: where the tensors begin in the file, in bytes.
        entries: name -> dtype, shape and place of each tensor, as the header has them.
        sums: name -> the CRC-32 of each row.
    """

    folder: Folder
    name: str
    clients: Mapping[int, int]
    start: int
    entries: Mapping[str, Any]
    sums: Mapping[str, list[int]]

    @classmethod
    def write(cls, folder: Folder, name: str, states: Mapping[int, State]) -> StateShard:
        """Write the states of some clients, whole or not at all; of the same names for each."""
        from safetensors.torch import save

        clients = sorted(states)
        tensors = {_CLIENTS: torch.tensor(clients)}
        for key in states[clients[0]]:
            rows = torch.stack([states[client][key].detach().cpu() for client in clients])
            tensors[_STATE + key] = rows
            tensors[_SUM + key] = torch.tensor([_sum(_raw(row)) for row in rows])
        tensors[_INDEX_SUM] = torch.tensor([_index_sum(tensors)])
        folder.write_bytes(name, save(tensors))
        return cls.open(folder, name)

    @classmethod
    def open(cls, folder: Folder, name: str) -> StateShard:
        """Read which clients there are, and where.

        Raises:
            CheckpointError: the file is damaged.
        """
        place = folder.join(name)
        try:
            length = int.from_bytes(_read(folder, place, 0, 8), "little")
            header = json.loads(_read(folder, place, 8, length))
            shard = cls(folder, name, {}, 8 + length, header, {})
            clients = {client: row for row, client in enumerate(shard._tensor(_CLIENTS).tolist())}
            keys = [key.removeprefix(_STATE) for key in header if key.startswith(_STATE)]
            sums = {key: shard._tensor(_SUM + key).tolist() for key in keys}
            if shard._tensor(_INDEX_SUM).tolist() != [_index_sum(shard._index())]:
                raise ValueError("its index is not the one that was written")
        except (ValueError, KeyError, TypeError, OSError, OverflowError, MemoryError) as error:
            raise CheckpointError(
                f"the states of clients in {place} are damaged: {error}"
            ) from error
        return cls(folder, name, clients, 8 + length, header, sums)

    def read(self, client: int) -> dict[str, Tensor]:
        """The state of one of its clients.

        Raises:
            CheckpointError: its bytes are damaged.
        """
        row = self.clients[client]
        return {key: self._row(key, row, sums[row], client) for key, sums in self.sums.items()}

    def _row(self, key: str, row: int, sum: int, client: int) -> Tensor:
        entry = self.entries[_STATE + key]
        shape = entry["shape"][1:]
        dtype = dtype_from_header(entry["dtype"])
        size = math.prod(shape) * dtype.itemsize
        begin = self.start + entry["data_offsets"][0] + row * size
        raw = _read(self.folder, self.folder.join(self.name), begin, size)
        if _sum(raw) != sum:
            place = self.folder.join(self.name)
            raise CheckpointError(f"the state of client {client} in {place} is damaged")
        if not size:
            return torch.zeros(shape, dtype=dtype)
        return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)

    def _index(self) -> dict[str, Tensor]:
        """All but the states themselves, of which only form and dtype are told."""
        names = [name for name in self.entries if name != _INDEX_SUM]
        return {
            name: self._form(name) if name.startswith(_STATE) else self._tensor(name)
            for name in names
        }

    def _form(self, name: str) -> Tensor:
        """A tensor without its elements."""
        entry = self.entries[name]
        first, last = entry["data_offsets"]
        form = torch.empty(entry["shape"], dtype=dtype_from_header(entry["dtype"]), device="meta")
        if last - first != form.nbytes:
            raise ValueError(f"{name} has another size than its shape says")
        return form

    def _tensor(self, key: str) -> Tensor:
        entry = self.entries[key]
        first, last = entry["data_offsets"]
        raw = _read(self.folder, self.folder.join(self.name), self.start + first, last - first)
        return torch.frombuffer(bytearray(raw), dtype=dtype_from_header(entry["dtype"]))


def _read(folder: Folder, place: str, start: int, length: int) -> bytes:
    if length == 0:
        return b""
    content: bytes = folder.fs.cat_file(place, start=start, end=start + length)
    if len(content) != length:
        raise CheckpointError(f"{place} ends too early")
    return content


def _raw(row: Tensor) -> bytes:
    content: bytes = row.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return content


def _index_sum(tensors: Mapping[str, Tensor]) -> int:
    """The CRC-32 of which states there are, of whom, and of their own sums."""
    told = [
        [key, str(t.dtype), list(t.shape), None if key.startswith(_STATE) else t.tolist()]
        for key, t in sorted(tensors.items())
    ]
    return _sum(json.dumps(told).encode())


def _sum(raw: bytes) -> int:
    return zlib.crc32(raw)
