"""Reading ranges of finished files, each byte checked before it is used."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator

import torch

from trainwright.checkpoint.files import FileRecord
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

_WINDOW = 8  # chunks per request
_REQUESTS = 8  # requests sent at once, where the store can


class ChunkCache:
    """The chunks read last, so that small neighbouring reads fetch and verify only once.

    Besides, what :meth:`keep` was given stays until :meth:`release`.
    """

    def __init__(self, limit_bytes: int = 32 << 20) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._chunks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._kept: dict[tuple[str, int], memoryview] = {}
        self._room = 0
        self._lock = threading.Lock()

    def make_room(self, num_bytes: int) -> None:
        """Let :meth:`keep` hold so much."""
        self._room = num_bytes

    def keep(self, file: str, index: int, chunk: memoryview) -> None:
        """Hold ``chunk``, not a copy, if there is room left; from any thread.

        What it was fetched with stays in memory too: of the last one kept, at most a window.
        """
        with self._lock:
            if len(chunk) > self._room:
                return
            self._room -= len(chunk)
        self._kept[file, index] = chunk

    def release(self) -> None:
        """Let go of what is kept."""
        self._room = 0
        self._kept.clear()

    def __contains__(self, place: tuple[str, int]) -> bool:
        return place in self._kept or place in self._chunks

    def get(self, file: str, index: int) -> bytes | memoryview | None:
        """The chunk, if it is still held."""
        kept = self._kept.get((file, index))
        if kept is not None:
            return kept
        chunk = self._chunks.get((file, index))
        if chunk is not None:
            self._chunks.move_to_end((file, index))
        return chunk

    def put(self, file: str, index: int, chunk: bytes) -> None:
        """Hold ``chunk``, letting go of the ones used longest ago beyond the limit."""
        if (file, index) in self:
            return
        self._chunks[file, index] = chunk
        self._size += len(chunk)
        while self._size > self._limit:
            self._size -= len(self._chunks.popitem(last=False)[1])


class VerifiedFile:
    """A finished file of which every byte is checked against its record before it is used."""

    def __init__(self, folder: Folder, name: str, record: FileRecord, cache: ChunkCache) -> None:
        self._folder = folder
        self._name = name
        self._record = record
        self._cache = cache

    def read(self, start: int, stop: int) -> torch.Tensor:
        """The bytes ``[start, stop)`` as a fresh uint8 tensor of shape (stop - start,).

        Raises:
            CheckpointError: the file is gone, shorter than recorded, or changed in this range.
        """
        if not 0 <= start <= stop <= self._record.size:
            raise CheckpointError(f"{self._name}: bytes {start} to {stop} are outside the file")
        result = torch.empty(stop - start, dtype=torch.uint8, device="cpu")
        if start == stop:
            return result
        view = result.numpy().data
        length = self._record.chunk_bytes
        first, last = start // length, (stop - 1) // length
        for index, chunk in self._chunks(first, last):
            offset = index * length
            low, high = max(start, offset), min(stop, offset + len(chunk))
            view[low - start : high - start] = chunk[low - offset : high - offset]
            if index in (first, last):
                self._cache.put(self._name, index, bytes(chunk))
        return result

    def verify(self, first: int = 0, last: int | None = None) -> None:
        """Check the chunks ``first`` to ``last`` (the end by default).

        What the cache has room for is kept for later reads; of the rest nothing is.

        Raises:
            CheckpointError: the file is gone, shorter than recorded, or changed.
        """
        last = len(self._record.chunks) - 1 if last is None else last
        for index in range(first, last + 1, _WINDOW):
            for at, chunk in self._fetch(index, min(last, index + _WINDOW - 1)):
                self._cache.keep(self._name, at, chunk)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Ranges (first, last) of chunks for :meth:`verify`, one request each.

        They are short so that the threads that share even a small file end at the same time.
        """
        for first in range(0, len(self._record.chunks), _WINDOW):
            yield first, min(first + _WINDOW, len(self._record.chunks)) - 1

    def _chunks(self, first: int, last: int) -> Iterator[tuple[int, memoryview]]:
        while first <= last:
            cached = self._cache.get(self._name, first)
            if cached is not None:
                yield first, memoryview(cached)
                first += 1
                continue
            stop = first
            most = min(last, first + _WINDOW * _REQUESTS - 1)
            while stop < most and (self._name, stop + 1) not in self._cache:
                stop += 1
            yield from self._fetch(first, stop)
            first = stop + 1

    def _fetch(self, first: int, last: int) -> Iterator[tuple[int, memoryview]]:
        length = self._record.chunk_bytes
        heads = range(first, last + 1, _WINDOW)
        starts = [head * length for head in heads]
        ends = [min((last + 1) * length, start + _WINDOW * length) for start in starts]
        ends = [min(end, self._record.size) for end in ends]
        paths = [self._folder.join(self._name)] * len(starts)
        try:
            windows = self._folder.fs.cat_ranges(paths, starts, ends, on_error="raise")
        except FileNotFoundError:
            raise CheckpointError(f"{self._name} is missing") from None
        for head, window in zip(heads, windows, strict=True):
            for index in range(head, min(head + _WINDOW, last + 1)):
                offset = (index - head) * length
                chunk = memoryview(window)[offset : offset + length]
                self._check(index, chunk)
                yield index, chunk

    def _check(self, index: int, chunk: memoryview) -> None:
        if hashlib.sha256(chunk).hexdigest() != self._record.chunks[index]:
            start = index * self._record.chunk_bytes
            stop = min(start + self._record.chunk_bytes, self._record.size)
            raise CheckpointError(
                f"{self._name}: bytes {start} to {stop} are not what was written (checksum)"
            )
