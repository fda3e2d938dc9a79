"""Files written once and whole, with a checksum per chunk."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from trainwright.storage import Folder

CHUNK_BYTES = 1 << 20
"""Bytes per checksum: what is fetched and verified at least, however little is read."""

PART_BYTES = 16 << 20
"""Bytes that a store gets in one request, of which its client makes several copies. Beyond 32 MiB
the C library takes memory anew for each copy, which doubles the processor time of an upload; and
while it copies, training cannot go on."""

_MOST_PARTS = 9_000
"""Of a file; S3 takes 10,000."""


@dataclass(frozen=True)
class FileRecord:
    """What is known of a finished file.

    Attributes:
        size: bytes.
        chunk_bytes: length of every chunk but the last.
        chunks: SHA-256 of each chunk, in hexadecimal.
    """

    size: int
    chunk_bytes: int
    chunks: tuple[str, ...]


class _Checksums:
    """SHA-256 per chunk of a stream."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._room = CHUNK_BYTES
        self._size = 0
        self._chunks: list[str] = []

    def checked(self, data: memoryview) -> Iterator[memoryview]:
        """The data in parts of a chunk at most, each of which has just been read."""
        self._size += len(data)
        while len(data):
            head, data = data[: self._room], data[self._room :]
            self._digest.update(head)
            self._room -= len(head)
            if self._room == 0:
                self._close_chunk()
            yield head

    def record(self) -> FileRecord:
        if self._room < CHUNK_BYTES:
            self._close_chunk()
        return FileRecord(self._size, CHUNK_BYTES, tuple(self._chunks))

    def _close_chunk(self) -> None:
        self._chunks.append(self._digest.hexdigest())
        self._digest = hashlib.sha256()
        self._room = CHUNK_BYTES


def write_file(folder: Folder, name: str, parts: Iterable[memoryview], size: int = 0) -> FileRecord:
    """Stream ``parts`` into one file; locally it has its final name only when it is whole.

    Args:
        folder: where to write; created if needed.
        name: the file's name.
        parts: its content.
        size: bytes of all parts, as far as known: a store takes so many requests for a file.
    """
    checksums = _Checksums()
    with _output(folder, name, max(PART_BYTES, -(-size // _MOST_PARTS))) as file:
        for part in parts:
            for checked in checksums.checked(part):
                file.write(checked)
    return checksums.record()


@contextmanager
def _output(folder: Folder, name: str, part_bytes: int) -> Iterator[BinaryIO]:
    target = folder.join(name)
    folder.fs.makedirs(folder.path, exist_ok=True)
    if not folder.is_local:
        # A store may keep what was sent before a failure; without a manifest it never counts.
        with folder.fs.open(target, "wb", block_size=part_bytes) as file:
            yield cast("BinaryIO", file)
        return
    temporary = Path(f"{target}.{uuid.uuid4().hex[:8]}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def file_sizes(folder: Folder) -> dict[str, int]:
    """Size in bytes of every file directly in ``folder``; empty when it does not exist."""
    folder.fs.invalidate_cache()
    try:
        listing: list[dict[str, Any]] = folder.fs.ls(folder.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {
        str(entry["name"]).rsplit("/", 1)[-1]: int(entry["size"])
        for entry in listing
        if entry["type"] == "file"
    }
