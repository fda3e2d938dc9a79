"""Paths in a job that is sent away: those that mean something there, and those that do not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainwright.errors import Problem
from trainwright.job import Job
from trainwright.job.sources import is_file_source
from trainwright.submission.site import Site

_SOURCE = re.compile(
    r"((base|variants\.[^.]+)\.)?data\.((validation|test|sources\.[^.]+)\.)?source(\.name)?"
)


def overrides_for(job: Job[Any], site: Site) -> tuple[list[str], list[Problem]]:
    """What must be changed in a job so that its places mean the same on the cluster.

    Returns:
        Overrides, ``a.b=value`` each; and what cannot be mended so.
    """
    changes: dict[str, str] = {"cluster.address": "auto"}
    problems: list[Problem] = []
    for path, value in [("storage", job.spec.storage), *sources_of(job)]:
        if "://" in value or "::" in value:
            continue
        base = Path.cwd() if path == "storage" else job.base
        whole = str((base / Path(value).expanduser()).absolute())
        if path == "storage" and not site.keeps(whole) and site.storage is not None:
            changes[path] = site.storage
        elif site.shares_disk:
            changes[path] = whole
        elif not (Path(value).is_absolute() and site.keeps(whole)):
            problems.append(_elsewhere(path, value, site))
    if site.tracking is not None and job.spec.tracking.uri is None:
        changes["tracking.uri"] = site.tracking
    return [f"{path}={json.dumps(value)}" for path, value in changes.items()], problems


def _elsewhere(path: str, value: str, site: Site) -> Problem:
    is_storage = path == "storage"
    what = "a folder of this machine, and with the cluster its runs would be gone"
    volumes = f", or a folder below {' or '.join(site.mounts)}" if site.mounts else ""
    return Problem(
        path,
        f"is {what if is_storage else 'a path of this machine, which the cluster does not see'}",
        value,
        allowed=f"a URL such as s3://bucket/folder{volumes}",
        mend=f"-s {path}=s3://BUCKET/FOLDER",
    )


def sources_of(job: Job[Any]) -> Iterator[tuple[str, str]]:
    """Dotted path and value of every data source that is a path or a URL, in a job of any kind."""
    return _found(job.document.values, "", "auto")


def _found(value: Any, path: str, format: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        inner = value.get("format", format)
        for key, item in value.items():
            yield from _found(item, f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, str) and _SOURCE.fullmatch(path) and is_file_source(value, format):
        yield path, value
