"""Where decoded row groups are kept: in memory, or in files that are gone with the process."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import Protocol

import torch

from trainwright.data.streaming.reading import Tensors
from trainwright.errors import DataError, Problem


class Kept(Protocol):
    """The rows of a row group."""

    def rows(self, start: int, stop: int) -> Tensors:
        """Some of them, in their order."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


class InMemory:
    """A row group in memory.

    Args:
        tensors: its columns.
    """

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def rows(self, start: int, stop: int) -> Tensors:
        """Some of the rows, as views."""
        return {name: tensor[start:stop] for name, tensor in self._tensors.items()}

    def close(self) -> None:
        """Let go of the columns."""
        self._tensors = {}


class OnDisk:
    """A row group in a file of the local temporary folder.

    The file has no name any more when it is written: nothing is left of a process that is killed.

    Args:
        tensors: its columns.

    Raises:
        DataError: there is no room for it.
    """

    def __init__(self, tensors: Tensors) -> None:
        self._columns: dict[str, tuple[int, torch.Tensor]] = {}
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is kept open
        offset = 0
        try:
            for name, tensor in tensors.items():
                place = _bytes_of(tensor.contiguous())
                # What a row is like; the rows themselves are in the file.
                self._columns[name] = offset, tensor[:0].clone()
                offset += len(place)
                while place:
                    place = place[self._file.write(place) :]
        except OSError as error:
            self._file.close()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _no_room(offset, error) from error
            raise

    def rows(self, start: int, stop: int) -> Tensors:
        """Some of the rows."""
        return {name: self._read(name, start, stop) for name in self._columns}

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _read(self, name: str, start: int, stop: int) -> torch.Tensor:
        offset, like = self._columns[name]
        rows = torch.empty((stop - start, *like.shape[1:]), dtype=like.dtype)
        place = _bytes_of(rows)
        offset += start * (len(place) // (stop - start))
        while place:
            done = os.preadv(self._file.fileno(), [place], offset)
            place, offset = place[done:], offset + done
        return rows


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    view: memoryview = tensor.numpy().reshape(-1).view("uint8").data
    return view


def _no_room(size_bytes: int, error: OSError) -> DataError:
    return DataError(
        Problem(
            "data.streaming.memory_mib",
            f"row groups that do not fit into it are kept in {tempfile.gettempdir()}, where there "
            f"was no room for {size_bytes} bytes: {error}",
            mend="set TMPDIR to a folder with more room, make it larger, or use fewer "
            "data.streaming.shards",
        )
    )
