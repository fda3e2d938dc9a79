"""Logs that outlive the pods: copies beside the checkpoints, written anew as they grow."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from trainwright.secrets import mask
from trainwright.storage import Folder, cause_of

PLACE = "logs/attempts"
"""Folder inside that of the run: a file or two for each attempt on a cluster."""

MOST_HEAD, MOST_TAIL = 1 << 20, 3 << 20
"""Bytes that are kept of the beginning and of the end of a longer log."""


def name_of(submission: str, began: float) -> str:
    """How the logs of an attempt are called, without their endings; sorts by time.

    Example:
        >>> name_of("quickstart-01234567", 0)
        '19700101T000000Z-quickstart-01234567'
    """
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(began))}-{submission}"


@dataclass(frozen=True)
class Source:
    """A growing file.

    Attributes:
        path: the file; it need not be there yet.
        start: bytes at its beginning that are not this attempt's.
        ending: of the copy's name.
    """

    path: str
    start: int
    ending: str = ".log"


def printed(*descriptors: int) -> list[Source]:
    """What this process prints from now on, where that goes to a file.

    Ray's own supervisor has a job write into a file, so nothing need stand between the two, and
    what a crash prints last is there as well.
    """
    found: dict[tuple[int, int], Source] = {}
    for number in descriptors:
        about = os.fstat(number)
        if stat.S_ISREG(about.st_mode):
            ending = "-errors.log" if found else ".log"
            source = Source(f"/proc/self/fd/{number}", about.st_size, ending)
            found.setdefault((about.st_dev, about.st_ino), source)
    return list(found.values())


class KeptLog:
    """A copy of a growing file in a run's folder; secrets are masked.

    Args:
        source: the file.
        folder: the run's folder.
        name: of the attempt.
        remark: told, once, why the store refuses it.
    """

    def __init__(
        self, source: Source, folder: Folder, name: str, remark: Callable[[str], None]
    ) -> None:
        self._source = source
        self._folder = folder / PLACE
        self._name = f"{name}{source.ending}"
        self._tell = remark
        self._size = 0
        self._has_told = False

    def keep(self, is_whole: bool = False) -> None:
        """Copy it if it has grown; never raises.

        Args:
            is_whole: nothing more will come; until then a line without its end is left out, for
                it may hold half a secret.
        """
        try:
            with open(self._source.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size == self._size and not is_whole:
                    return
                start = self._source.start if self._source.start <= size else 0
                text = _head_and_tail(file, start, size, is_whole)
            if text:
                self._folder.write_bytes(self._name, mask(text).encode())
            self._size = size
        except FileNotFoundError:
            return
        except Exception as error:  # whatever a store's client raises; the job goes on
            if not self._has_told:
                self._has_told = True
                place = f"{self._folder.url}/{self._name}"
                self._tell(f"the log cannot be kept as {place} for now: {cause_of(error)}")


def _head_and_tail(file: BinaryIO, start: int, end: int, is_whole: bool) -> str:
    """The bytes from ``start`` to ``end``, of very many their beginning and end; in whole lines."""
    if end - start <= MOST_HEAD + MOST_TAIL:
        content = _read(file, start, end)
    else:
        head = _whole_lines(_read(file, start, start + MOST_HEAD))
        _, _, tail = _read(file, end - MOST_TAIL, end).partition(b"\n")
        left_out = end - start - len(head) - len(tail)
        content = head + f"... {left_out:,} bytes are left out here ...\n".encode() + tail
    return (content if is_whole else _whole_lines(content)).decode(errors="replace")


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
