"""A run's folder made this process's own, with what is needed to know the run again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainwright.job import Job
from trainwright.orchestration.kept_plugins import keep_plugin_files
from trainwright.runs import JOB, RESOLVED, RunRecord
from trainwright.secrets import mask, public_values
from trainwright.storage import Folder


def claim(
    folder: Folder, job: Job[Any], record: RunRecord, plugin_files: Mapping[str, bytes]
) -> None:
    """Mark a run as run by this process; write its job, its record and its plugin files.

    Args:
        folder: the run's folder.
        job: what it runs.
        record: its record, which is completed and saved.
        plugin_files: the user's plugin files, relative path -> content.
    """
    record.name = folder.url.rstrip("/").rsplit("/", 1)[-1]
    record.base = str(job.base)
    record.claim()
    folder.write_bytes(JOB, mask(job.source).encode())
    folder.write_json(RESOLVED, public_values(job.spec))
    record.save(folder)
    keep_plugin_files(folder, plugin_files)
