"""What identifies the content of files, so that a run knows its data again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainwright.data.files.location import DataFile

_WHOLE = 256 * 2**20  # sources up to this size are read whole: about a second of hashing
_BLOCK = 2**20
_SAMPLES = 16
_ALL_SAMPLES = 1024
_READERS = 8

Attempt = Callable[[DataFile, Callable[[], bytes]], bytes]
"""Calls a function that reads a file."""


def fingerprint_files(
    files: Sequence[DataFile], attempt: Attempt = lambda file, read: read()
) -> str:
    """Hash of the content of the files in their order: 32 hexadecimal digits.

    Sources of up to 256 MiB in all are read whole: the same content gives the same fingerprint on
    any machine and under any name. Of larger ones each file counts by its size, 16 blocks of
    1 MiB spread evenly over it (fewer, at least 2, where the source has more than 64 files), and
    the store's ETag, or where there is none the time of its last change; a copy made without that
    time is then taken for other data.

    Args:
        files: in the order of their rows.
        attempt: how a file is read, where a store needs patience.
    """
    whole = sum(file.size for file in files) <= _WHOLE
    samples = min(_SAMPLES, max(_ALL_SAMPLES // len(files), 2))

    def one(file: DataFile) -> bytes:
        return attempt(file, lambda: _content(file) if whole else _sample(file, samples))

    digest = hashlib.sha256()
    with ThreadPoolExecutor(min(_READERS, len(files)), "fingerprints") as pool:
        for part in pool.map(one, files):
            digest.update(part)
    return digest.hexdigest()[:32]


def _content(file: DataFile) -> bytes:
    digest = hashlib.sha256()
    with file.fs.open(file.path, "rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.digest()


def _sample(file: DataFile, samples: int) -> bytes:
    digest = hashlib.sha256(f"{file.size}|{_version(file.info)}".encode())
    last = max(file.size - _BLOCK, 0)
    with file.fs.open(file.path, "rb") as opened:
        for start in sorted({last * index // (samples - 1) for index in range(samples)}):
            opened.seek(start)
            digest.update(opened.read(_BLOCK))
    return digest.digest()


def _version(info: dict[str, Any]) -> str:
    for name in ("ETag", "etag", "LastModified", "mtime"):
        if info.get(name):
            return str(info[name])
    return ""
