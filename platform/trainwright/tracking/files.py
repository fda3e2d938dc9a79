"""The files of a journal inside a run folder: their names, and reading them from a position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainwright.storage import Folder
from trainwright.tracking.rows import AttemptRow, Row, decode

JOURNAL = "journal"
_CHUNK = 1 << 18
_NAME = re.compile(r"^attempt-(\d{4,})(?:-(\d{6,}))?\.jsonl$")
_NOTE = re.compile(r"^note-.*\.jsonl$")


@dataclass(frozen=True, order=True)
class JournalFile:
    """One file of an attempt; ``segment`` is 0 for the single file of a local journal."""

    attempt: int
    segment: int

    @property
    def name(self) -> str:
        """The file's name relative to the run folder."""
        return attempt_name(self.attempt, self.segment)


@dataclass(frozen=True)
class Line:
    """One whole line: bytes [start, stop) of its file, and its row unless it is damaged."""

    start: int
    stop: int
    row: Row | None


def attempt_name(attempt: int, segment: int = 0) -> str:
    """The file name of an attempt (and segment) relative to the run folder."""
    suffix = f"-{segment:06d}" if segment else ""
    return f"{JOURNAL}/attempt-{attempt:04d}{suffix}.jsonl"


def journal_files(folder: Folder) -> list[JournalFile]:
    """All files of all attempts, in writing order."""
    matches = (_NAME.match(name) for name in folder.names(JOURNAL))
    return sorted(JournalFile(int(m.group(1)), int(m.group(2) or 0)) for m in matches if m)


def attempt_segments(folder: Folder, attempt: int) -> list[int]:
    """The segment numbers present for one attempt."""
    return [file.segment for file in journal_files(folder) if file.attempt == attempt]


def note_names(folder: Folder) -> list[str]:
    """Files holding single events that a process other than the attempt's writer left."""
    return [f"{JOURNAL}/{name}" for name in folder.names(JOURNAL) if _NOTE.match(name)]


def read_lines(folder: Folder, name: str, start: int = 0) -> Iterator[Line]:
    """The whole lines of a file from byte ``start``, which must be the start of a line.

    A last line without line feed is left out: it is torn, or still being written.
    A file that does not exist has no lines.
    """
    rest = b""
    position = start
    while chunk := _read(folder, name, position + len(rest)):
        data = rest + chunk
        done = 0
        while (end := data.find(b"\n", done)) >= 0:
            yield Line(position + done, position + end + 1, decode(data[done:end]))
            done = end + 1
        rest = data[done:]
        position += done


def header(folder: Folder, attempt: int) -> AttemptRow | None:
    """The first row of an attempt; None when it was never written whole."""
    segments = attempt_segments(folder, attempt)
    if not segments:
        return None
    line = next(read_lines(folder, attempt_name(attempt, min(segments))), None)
    if line is None or line.row is None or line.row["kind"] != "attempt":
        return None
    return line.row


def _read(folder: Folder, name: str, start: int) -> bytes:
    """Up to one chunk of a file from ``start``; empty at its end."""
    if folder.is_local:
        try:
            with Path(folder.join(name)).open("rb") as file:
                file.seek(start)
                return file.read(_CHUNK)
        except FileNotFoundError:
            return b""
    path = folder.join(name)
    folder.fs.invalidate_cache()
    try:
        size = int(folder.fs.info(path)["size"])
    except FileNotFoundError:
        return b""
    if start >= size:
        return b""
    content: bytes = folder.fs.cat_file(path, start=start, end=min(size, start + _CHUNK))
    return content
