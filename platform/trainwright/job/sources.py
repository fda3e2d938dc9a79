"""Telling paths and URLs of data from names of dataset plugins, without importing any library."""

from __future__ import annotations

from trainwright.job.models import DataSource

ENDINGS = (".parquet", ".pq", ".arrow", ".feather", ".ipc", ".csv")
"""Endings of the data files that can be read."""


def is_file_source(source: str, format: str = "auto") -> bool:
    """Whether ``source`` is a path or URL rather than the name of a dataset plugin.

    It is one with a protocol, a known file ending, a glob sign, or a path that starts with ``./``,
    ``../``, ``/`` or ``~`` or ends with ``/``; or when the job says the format.
    """
    if ".py:" in source:
        return False
    return (
        format != "auto"
        or "://" in source
        or "::" in source
        or any(sign in source for sign in "*?")
        or source.startswith(("./", "../", "/", "~"))
        or source.endswith(("/", *ENDINGS))
    )


def name_of(source: DataSource) -> str:
    """The path, URL or plugin name of a source in either of its forms."""
    return source if isinstance(source, str) else source.name


def in_memory(url: str) -> bool:
    """Whether a URL leads to the memory of one process."""
    return url.startswith("memory://") or "::memory://" in url
