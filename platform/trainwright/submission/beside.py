"""The user's plugin files that a job of any kind needs, wherever in it they are named."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trainwright.errors import InputError, Problem
from trainwright.job import Job
from trainwright.job.check import found_plugins
from trainwright.orchestration.named_paths import uses_of
from trainwright.plugins import plugin_files
from trainwright.plugins.files import job_folder
from trainwright.plugins.imports import locate
from trainwright.submission.parts import Part
from trainwright.submission.texts import texts_in

_FILE = re.compile(r"(.+)\.py:[A-Za-z_][\w.]*")


def files_beside(job: Job[Any], parts: Iterable[Part]) -> dict[str, bytes]:
    """The plugin files below the folder of a job and the modules there that they import.

    They are those of its runs, and every file that is named as one (``losses.py:Mine``) elsewhere:
    a procedure may hand on what stands in its options.

    Args:
        job: the job.
        parts: the runs that it consists of.

    Returns:
        Path relative to the folder of the job file -> content, sorted.

    Raises:
        InputError: a file is no Python, or no UTF-8.
    """
    found: dict[str, bytes] = {}
    for part in parts:
        named = uses_of(part.job.spec)
        found |= plugin_files(part.job.base, found_plugins(named, part.job.base))
    folder = job_folder(job.base)
    try:
        for source in folder.closure(_named_elsewhere(job)).values():
            found[source.file.relative_to(folder.base).as_posix()] = source.content
    except (SyntaxError, OSError) as error:
        raise InputError(f"a file that the job names cannot be read: {error}") from error
    _refuse_other_encodings(found)
    return dict(sorted(found.items()))


def absolute_files(job: Job[Any]) -> list[Problem]:
    """Plugin files that are named by paths of this machine."""
    problems = []
    for path, text in texts_in(job.document.values):
        match = _FILE.fullmatch(text)
        if match is None or not os.path.isabs(match[1]):
            continue
        inside = Path(match[1]).is_relative_to(job.base)
        near = os.path.relpath(text, job.base) if inside else None
        mend = None if inside else "put the file beside the job, or below"
        message = "is a path of this machine, which the cluster does not see"
        problems.append(Problem(path, message, text, nearest=near, mend=mend))
    return problems


def _named_elsewhere(job: Job[Any]) -> Iterator[str]:
    """The modules below the job's folder that are named as files, in dotted form."""
    for _, text in texts_in(job.document.values):
        if match := _FILE.fullmatch(text):
            file = Path(os.path.normpath(job.base / match[1]))
            if file.is_relative_to(job.base):
                dotted = ".".join(file.relative_to(job.base).parts)
                if locate(job.base, dotted) is not None:
                    yield dotted


def _refuse_other_encodings(files: dict[str, bytes]) -> None:
    problems = []
    for name, content in files.items():
        try:
            content.decode()
        except UnicodeDecodeError:
            mend = "save the file in the encoding UTF-8"
            problems.append(Problem("", f"the plugin file {name} is not UTF-8 text", mend=mend))
    if problems:
        raise InputError(problems)
