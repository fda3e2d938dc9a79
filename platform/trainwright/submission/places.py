"""Places in a job that is sent away: those that mean the same there, and those that do not."""

from __future__ import annotations

import json
import os.path
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trainwright.errors import Problem
from trainwright.job import Job
from trainwright.job.environment import escaped
from trainwright.job.sources import in_memory
from trainwright.plugins.resolve import absolute
from trainwright.submission.parts import Part
from trainwright.submission.site import Site
from trainwright.tracking.uri import absolute_uri, sqlite_path

_LOCAL = ("file://", "local://")
_HOSTS_OF_THEIR_OWN = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - only compared


@dataclass
class Settled:
    """What has to be changed in a job so that its places mean the same on the cluster.

    Attributes:
        changes: dotted path -> value, as a job file would say it.
        problems: what cannot be mended so.
        remarks: what the user should know.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def overrides(self) -> list[str]:
        """The changes as overrides, ``a.b=value`` each."""
        return [
            f"{path}={json.dumps(value, ensure_ascii=False)}"
            for path, value in self.changes.items()
        ]


def settle(job: Job[Any], parts: Sequence[Part], site: Site) -> Settled:
    """Find every place that a job names, and what becomes of it on the cluster.

    Args:
        job: the job.
        parts: the runs that it consists of.
        site: where it will run.
    """
    settled = Settled({"cluster.address": "auto"})
    for place, spec in _owners(job, parts):
        _settle_storage(settled, place("storage"), spec.storage, site)
        _settle_tracking(settled, place("tracking.uri"), spec.tracking, site)
    for part in parts:
        for place, value in part.paths():
            _settle_files(settled, place, value, part.job.base, site)
    settled.remarks = list(dict.fromkeys(settled.remarks))
    return settled


def _owners(job: Job[Any], parts: Sequence[Part]) -> Iterator[tuple[Any, Any]]:
    """Where storage and tracking stand: in the job, and in trainings that have their own."""
    yield (lambda path: path), job.spec
    for part in parts:
        spec = part.job.spec
        theirs, ours = (spec.storage, spec.tracking), (job.spec.storage, job.spec.tracking)
        if part.is_own and theirs != ours:
            yield part.place, spec


def _settle_storage(settled: Settled, path: str, value: str, site: Site) -> None:
    local = _local_path(value, Path.cwd())
    if in_memory(value):
        message = "is the memory of one process, and its runs would be gone with it"
        settled.problems.append(_elsewhere(path, message, value, site))
    elif local is None or (os.path.isabs(_plain(value)) and site.keeps(local)):
        return
    elif site.shares_disk:
        settled.changes[path] = escaped(local)
    elif site.storage is not None:
        settled.changes[path] = site.storage
        settled.remarks.append(f"runs are kept in {site.storage}, as the profile says")
    elif os.path.isabs(_plain(value)) and site.may_keep(local):
        settled.remarks.append(f"runs are kept in {value}, a folder that all machines there share")
    else:
        message = "is a folder of this machine, and with the cluster its runs would be gone"
        settled.problems.append(_elsewhere(path, message, value, site))


def _settle_tracking(settled: Settled, path: str, tracking: Any, site: Site) -> None:
    uri = tracking.uri
    if not tracking.enabled:
        return
    if uri is None:
        if site.tracking is not None:
            settled.changes[path] = site.tracking
        elif not site.shares_disk:
            settled.remarks.append(
                "no MLflow server is named: what is recorded stays in the storage, and "
                "`trainwright sync RUN --storage URL --uri URI` sends it to one"
            )
        return
    file = sqlite_path(uri)
    if file is None:
        if not site.shares_disk and urlsplit(uri).hostname in _HOSTS_OF_THEIR_OWN:
            settled.remarks.append(f"{path} is {uri}, which on the cluster is its own machine")
    elif site.shares_disk:
        if not file.is_absolute():
            settled.changes[path] = escaped(absolute_uri(uri))
    elif file.is_absolute() and site.keeps(str(file)):
        return
    elif site.tracking is not None:
        settled.changes[path] = site.tracking
        settled.remarks.append(f"MLflow is {site.tracking}, as the profile says")
    else:
        settled.problems.append(
            Problem(
                path,
                "is a file of this machine, and with the cluster it would be gone",
                uri,
                allowed="the URL of an MLflow server that the cluster reaches: https://HOST",
                mend=f"-s {path}=https://HOST, or leave it out",
            )
        )


def _settle_files(settled: Settled, path: str, value: Any, base: Path, site: Site) -> None:
    for text in value if isinstance(value, list) else [value]:
        local = _local_path(text, base)
        is_fixed = os.path.isabs(_plain(text))
        if in_memory(text) or not (local is None or is_fixed or site.shares_disk):
            settled.problems.append(_unseen(path, text, site))
            return
        if local is None or site.sees(local):
            continue
        if site.mounts is None:
            settled.remarks.append(f"{text} is read from the disks of the machines there")
        elif not os.path.exists(local):
            settled.remarks.append(f"{text}, which is not on this machine, is read from the image")
        else:
            settled.problems.append(_unseen(path, text, site))
            return
    anchored = absolute(value, base) if site.shares_disk else value
    if anchored != value:
        settled.changes[path] = _escaped(anchored)


def _local_path(text: str, base: Path) -> str | None:
    """The absolute path of a file on a machine's own disk; None for what a store serves."""
    plain = _plain(text.rpartition("::")[2])  # of chained URLs, what the others read from
    return None if "://" in plain else str(base / os.path.expanduser(plain))


def _plain(text: str) -> str:
    for protocol in _LOCAL:
        text = text.removeprefix(protocol)
    return text


def _escaped(value: Any) -> Any:
    return [escaped(item) for item in value] if isinstance(value, list) else escaped(value)


def _unseen(path: str, text: str, site: Site) -> Problem:
    return _elsewhere(path, "is a path of this machine, which the cluster does not see", text, site)


def _elsewhere(path: str, message: str, value: str, site: Site) -> Problem:
    volumes = f", or a folder below {' or '.join(site.mounts)}" if site.mounts else ""
    if site.mounts is None:
        volumes = ", or an absolute path that means the same on all machines there"
    return Problem(
        path,
        message,
        value,
        allowed=f"a URL such as s3://bucket/folder{volumes}",
        mend=f"-s {path}=s3://BUCKET/FOLDER",
    )
