"""The storage folder and the tracking server."""

from __future__ import annotations

import shutil
import sqlite3
import urllib.error
import urllib.request
import uuid
from contextlib import closing
from pathlib import Path

from trainwright.doctor.finding import Finding
from trainwright.doctor.machine import gigabytes
from trainwright.doctor.probe import try_out
from trainwright.secrets import mask
from trainwright.storage import Folder
from trainwright.tracking import check_uri
from trainwright.tracking.uri import sqlite_path

LEAST_DISK = 0.5e9
COMFORTABLE_DISK = 5e9


def check_storage(storage: Folder) -> Finding:
    """Write a small file, read it back, delete it."""
    name, content = f".doctor-{uuid.uuid4().hex}", b"a trial by trainwright doctor\n"
    was_there = not storage.is_local or storage.exists()
    try:
        storage.write_bytes(name, content)
        same = storage.read_bytes(name) == content
        storage.remove(name)
    except Exception as error:  # whatever the store's client raises
        mend = "choose another storage in the job, or get the right to write there"
        return Finding("storage", "stop", f"{storage.url}: {type(error).__name__}: {error}", mend)
    finally:
        if not was_there and storage.exists() and not storage.names():
            storage.local_path().rmdir()
    if not same:
        return Finding("storage", "stop", f"{storage.url} gives back other bytes than were written")
    return Finding("storage", "ok", f"{storage.url} takes, gives back and deletes files")


def check_disk(storage: Folder) -> Finding:
    """Free space where a local storage lies."""
    if not storage.is_local:
        return Finding("disk", "ok", "storage is not on this machine")
    place = storage.local_path()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    mend = "free some space, or choose another storage in the job"
    if free < LEAST_DISK:
        return Finding("disk", "stop", f"only {gigabytes(free)} free in {place}", mend)
    if free < COMFORTABLE_DISK:
        return Finding("disk", "note", f"only {gigabytes(free)} free in {place}", mend)
    return Finding("disk", "ok", f"{gigabytes(free)} free in {place}")


def check_tracking(uri: str) -> Finding:
    """Whether the tracking server answers; it never stops a run, rows wait in the journal."""
    problems = check_uri(uri)
    if problems:
        return Finding("mlflow server", "stop", problems[0].message, problems[0].mend or "")
    path = sqlite_path(uri)
    if path is not None:
        trouble = _sqlite_trouble(path)
    elif uri.startswith(("http://", "https://")):
        trouble = _http_trouble(uri)
    else:
        trouble = _client_trouble(uri)
    if trouble is None:
        return Finding("mlflow server", "ok", mask(uri))
    mend = "runs train without it and keep their rows; `trainwright sync` sends them later"
    return Finding("mlflow server", "note", f"{mask(uri)}: {trouble}", mend)


def _sqlite_trouble(path: Path) -> str | None:
    """A database that exists must be MLflow's; one that does not will be created."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            database.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error as error:
        return f"not a database of MLflow's: {error}"
    return None


def _http_trouble(uri: str) -> str | None:
    request = urllib.request.Request(f"{uri.rstrip('/')}/health")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        return None if error.code in (401, 403, 404) else f"it answers {error.code}"
    except (OSError, ValueError) as error:
        return f"no answer: {getattr(error, 'reason', error)}"


def _client_trouble(uri: str) -> str | None:
    code = "from mlflow import MlflowClient; MlflowClient().search_experiments(max_results=1)"
    probe = try_out(code, timeout_s=60, environment={"MLFLOW_TRACKING_URI": uri})
    return None if probe.worked else probe.trouble
