"""Where journal bytes go: an appended file locally, numbered segments on object stores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from trainwright.storage import Folder
from trainwright.tracking.files import attempt_name, attempt_segments

SEGMENT_BYTES = 256 * 1024
"""A segment that reached this size is left alone and the next one is begun."""


class Sink(Protocol):
    """Takes bytes in order. A call that raised has taken nothing and may be repeated."""

    def append(self, data: bytes) -> None:
        """Hand ``data`` to the store, after everything handed over before."""

    def sync(self) -> None:
        """Return when all appended bytes survive a power failure."""

    def close(self) -> None:
        """Release what is held open."""


class LocalSink:
    """One file opened for appending; a line torn by an earlier crash is cut off first.

    Attributes:
        size: bytes known to be whole, which is also where the next append starts.
    """

    def __init__(self, folder: Folder, attempt: int) -> None:
        self._path = Path(folder.join(attempt_name(attempt)))
        self._file: int | None = None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.size = _whole_lines(self._path)
        self._folder_synced = False

    def append(self, data: bytes) -> None:
        """Write ``data`` at the end of the file.

        Raises:
            OSError: the disk refused; the file is put right before the next append.
        """
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.ftruncate(self._file, self.size)
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            self.close()
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Flush the file to the device, the first time its folder too."""
        if self._file is None:
            return
        os.fsync(self._file)
        if not self._folder_synced and os.name == "posix":
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._folder_synced = True

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


class SegmentSink:
    """Numbered objects; the newest is put again with more lines until it is large enough.

    Object stores cannot append, and an object per write would leave thousands of them.
    Each put replaces the object whole, so no reader ever meets a torn line.
    """

    def __init__(self, folder: Folder, attempt: int) -> None:
        self._folder = folder
        self._attempt = attempt
        existing = attempt_segments(folder, attempt)
        self._segment = max(existing, default=0) + 1
        self._content = b""
        self.size = 1 if existing else 0

    def append(self, data: bytes) -> None:
        """Put the current segment with ``data`` at its end.

        Raises:
            Exception: whatever the store's client raises; the segment stays as it was.
        """
        content = self._content + data
        name = attempt_name(self._attempt, self._segment)
        self._folder.write_bytes(name, content)
        self._content = content
        self.size += len(data)
        if len(content) >= SEGMENT_BYTES:
            self._segment += 1
            self._content = b""

    def sync(self) -> None:
        """Nothing to do: a put that returned is durable."""

    def close(self) -> None:
        """Nothing is held open."""


def open_sink(folder: Folder, attempt: int) -> LocalSink | SegmentSink:
    """The sink that fits the folder's file system."""
    return LocalSink(folder, attempt) if folder.is_local else SegmentSink(folder, attempt)


def _whole_lines(path: Path) -> int:
    """Bytes up to and including the last line feed; 0 when there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return 0
    with file:
        position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            position = start
    return 0
