"""The user's plugin files that a job of any kind names, wherever in it they are named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from trainwright.job import Job
from trainwright.plugins.files import job_folder
from trainwright.plugins.imports import locate

_FILE = re.compile(r"([^\s:]+)\.py(?::[A-Za-z_]\w*)?")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:[.:][A-Za-z_]\w*)")


def files_beside(job: Job[Any]) -> dict[str, bytes]:
    """The plugin files beside a job and the modules there that they import.

    A variant of a comparison, or a value that a sweep may draw, can name a plugin too: so every
    text in the job counts that is the name of one.

    Returns:
        Path relative to the folder of the job file -> content, sorted.
    """
    folder = job_folder(job.base)
    roots = {dotted for text in _texts(job.document.values) for dotted in _modules(text, job.base)}
    found = folder.closure(roots).values()
    files = {source.file.relative_to(folder.base).as_posix(): source.content for source in found}
    return dict(sorted(files.items()))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _modules(text: str, base: Path) -> Iterator[str]:
    """The local modules that ``text`` may name, in dotted form."""
    if match := _FILE.fullmatch(text):
        parts = PurePosixPath(match[1]).parts
        dotted = ".".join(part for part in parts if part != ".")
        if locate(base, dotted) is not None:
            yield dotted
    elif _DOTTED.fullmatch(text):
        parts = tuple(re.split(r"[.:]", text))
        for length in range(1, len(parts)):
            dotted = ".".join(parts[:length])
            if locate(base, dotted) is not None:
                yield dotted
