"""Whether a source fits into memory, told before it is read."""

from __future__ import annotations

import logging

import psutil

from trainwright.errors import DataError, Problem

_log = logging.getLogger(__name__)

_MEND = "set data.streaming: true, by which parquet and arrow files are read while training goes on"


def check_size(size_bytes: int, path: str, source: str) -> None:
    """Warn of files that take more than half of this machine's memory.

    Args:
        size_bytes: of all files.
        path: dotted path of the source in the job, for error messages.
        source: the path or URL.

    Raises:
        DataError: they are larger than all of it.
    """
    memory = psutil.virtual_memory().total
    if size_bytes <= memory / 2:
        return
    message = f"{source} has {_gb(size_bytes)}, and this machine has {_gb(memory)} of memory"
    if size_bytes > memory:
        raise DataError(
            Problem(path, f"{message}, into which each worker would read it", mend=_MEND)
        )
    _log.warning("%s: %s, of which reading it takes about twice as much; %s", path, message, _MEND)


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
