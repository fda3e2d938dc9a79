"""The files of a run that MLflow gets a copy of."""

from __future__ import annotations

import hashlib
import posixpath
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainwright.storage import Folder
from trainwright.tracking.target import MlflowTarget

JOB_FILES = ("job.yaml", "resolved.json")
RESULT_FILES = (
    *("compare.json", "table.md"),
    *("sweep.json", "trials.csv", "parts.csv", "best.yaml", "transferred.yaml"),
    *("partition.parquet", "partition.json"),
)
RESULT_FOLDERS = ("client_metrics", "front")
MAX_RESULT_BYTES = 64 * 1024 * 1024
LOG_TAIL_BYTES = 64 * 1024
MAX_LOGS = 10


def job_files(folder: Folder) -> Iterator[tuple[str, bytes]]:
    """The job as given and as resolved, those of the two that exist."""
    for name in JOB_FILES:
        if folder.exists(name):
            yield name, folder.read_bytes(name)


def plot_files(folder: Folder) -> Iterator[tuple[str, bytes]]:
    """The plots made so far, and the figures that strategies logged."""
    for place in ("plots", "figures"):
        for name in folder.names(place):
            if name.endswith(".png"):
                yield f"{place}/{name}", folder.read_bytes(f"{place}/{name}")


def result_files(folder: Folder) -> Iterator[tuple[str, bytes]]:
    """The findings of a comparison or a sweep, or a federation's partition and tables of clients.

    What is larger than ``MAX_RESULT_BYTES`` stays in the run's folder alone.
    """
    names = [name for name in RESULT_FILES if folder.exists(name)]
    for place in RESULT_FOLDERS:
        names += [f"{place}/{name}" for name in folder.names(place)]
    for name in names:
        if folder.fs.size(folder.join(name)) <= MAX_RESULT_BYTES:
            yield name, folder.read_bytes(name)


def log_tails(folder: Folder) -> Iterator[tuple[str, bytes]]:
    """The ends of the log files, for a run that failed."""
    names = [name for name in folder.names("logs") if folder.fs.isfile(folder.join(f"logs/{name}"))]
    for name in names[:MAX_LOGS]:
        content = folder.read_bytes(f"logs/{name}")
        yield f"logs/{name}", content[-LOG_TAIL_BYTES:]


def upload_new(
    target: MlflowTarget,
    run_id: str,
    files: Iterator[tuple[str, bytes]],
    uploaded: dict[str, str],
) -> None:
    """Upload the files whose content differs from what ``uploaded`` (name -> digest) says.

    Raises:
        TrackingError: the server did not take one; those before it are noted in ``uploaded``.
    """
    for name, content in files:
        digest = hashlib.sha256(content).hexdigest()[:16]
        if uploaded.get(name) == digest:
            continue
        with tempfile.TemporaryDirectory(prefix="trainwright-") as scratch:
            path = Path(scratch) / posixpath.basename(name)
            path.write_bytes(content)
            target.upload(run_id, path, posixpath.dirname(name) or None)
        uploaded[name] = digest
