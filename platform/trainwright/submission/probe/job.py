"""A job read and checked on the cluster, with its storage and its tracking server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trainwright.doctor.finding import Finding
from trainwright.doctor.places import check_disk, check_storage, check_tracking
from trainwright.errors import Problem
from trainwright.job import Job
from trainwright.job.kinds import kind_of
from trainwright.overview import open_storage
from trainwright.storage import Folder
from trainwright.submission.parcel import JOB, Orders
from trainwright.tracking import default_uri

NO_STORAGE = "name one by --storage URL, or give a job, to see whether the cluster can write there"


def read_job(folder: Path) -> Job[Any]:
    """The job of a parcel, as the cluster will run it.

    Raises:
        JobError: it is none here.
    """
    orders = Orders.read(folder)
    os.environ.update(orders.variables)
    return Job.load(folder / JOB, orders.overrides)


def check_places(storage: str | None, tracking: str | None, tracks: bool) -> Iterator[Finding]:
    """The storage takes files and gives them back; the tracking server answers.

    Args:
        storage: folder or URL; None: none is known.
        tracking: URI; None: the default, which lies in the storage.
        tracks: whether anything is recorded with MLflow.

    Raises:
        InputError: nothing can serve the storage's URL.
    """
    if storage is None:
        yield Finding("storage", "note", "not tried, for none is known", NO_STORAGE)
    else:
        kept = open_storage(storage, "storage")
        if kept.is_local:
            yield check_disk(kept)
        yield check_storage(kept)
    if not tracks:
        yield Finding("mlflow server", "ok", "not used: tracking.enabled is false")
    elif tracking is not None or storage is not None:
        yield check_tracking(tracking or default_uri(Folder(storage or "")))


def check_job(job: Job[Any]) -> Iterator[Finding]:
    """The job would run here: its plugins load, its data can be read.

    Raises:
        InputError: it would not.
    """
    found = kind_of(job).validate(job)
    yield Finding("job", "ok", f"would run as {found.run}: {found.prospect}")


def of_problems(name: str, problems: Iterable[Problem]) -> Iterator[Finding]:
    """A finding for each problem; what is allowed stands in for a mend that is not known."""
    for problem in problems:
        says = f"{problem.path}: {problem.message}" if problem.path else problem.message
        mend = problem.mend or (f"allowed: {problem.allowed}" if problem.allowed else "")
        yield Finding(name, "stop", says, mend or "change that in the job")
