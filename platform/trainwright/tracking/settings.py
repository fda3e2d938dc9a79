"""Where a run is tracked: as the job says, as the run did before, or by default."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

from trainwright.errors import TrackingError
from trainwright.storage import Folder
from trainwright.tracking.state import read_state
from trainwright.tracking.uri import absolute_uri, default_uri

_MASKED = ":***@"


@dataclass(frozen=True)
class TrackingSettings:
    """A tracking server and an experiment on it."""

    uri: str
    experiment: str


def read_job(folder: Folder) -> dict[str, Any]:
    """The run's resolved job; empty when there is none or it cannot be parsed."""
    return folder.read_object("resolved.json") or {}


def settings_of(
    folder: Folder, uri: str | None = None, experiment: str | None = None
) -> TrackingSettings:
    """Complete what was not given from the run's tracking state, then its job, then the defaults.

    Raises:
        TrackingError: the URI used so far holds a password, which is not stored anywhere.
    """
    job = read_job(folder)
    section = job.get("tracking")
    section = section if isinstance(section, dict) else {}
    state = read_state(folder)
    if state is not None:
        uri = uri or state.uri
        experiment = experiment or state.experiment
    uri = uri or section.get("uri") or default_uri(storage_of(folder))
    if _MASKED in uri:
        raise TrackingError(f"the password of {uri} is not stored; give the tracking URI again")
    experiment = experiment or section.get("experiment") or job.get("name") or run_name(folder)
    return TrackingSettings(absolute_uri(uri), experiment)


def run_name(folder: Folder) -> str:
    """The run's name: the last part of its folder."""
    return posixpath.basename(folder.url.rstrip("/"))


def storage_of(folder: Folder) -> Folder:
    """The storage folder that holds a run folder."""
    return Folder(folder.url.rstrip("/").rsplit("/", 1)[0])
