"""A job made ready to be sent: checked here, with nothing in it that only this machine knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainwright.errors import InputError, JobError, Problem
from trainwright.submission.beside import absolute_files, files_beside
from trainwright.submission.checking import check_here
from trainwright.submission.draft import Draft
from trainwright.submission.needs import need_of
from trainwright.submission.parcel import FOLDER, JOB, LARGEST, ORDERS, Orders, Parcel
from trainwright.submission.parts import parts_of
from trainwright.submission.places import settle
from trainwright.submission.secrecy import told_files
from trainwright.submission.site import Site


def pack(file: Path, overrides: Sequence[str], site: Site) -> Parcel:
    """Check a job as far as this machine can, and pack it.

    Args:
        file: the job file.
        overrides: values to change in it, ``a.b=value`` each.
        site: where it will run.

    Raises:
        InputError: it could not run there; every problem that was found.

    Example:
        >>> pack(Path("jobs/quickstart.yaml"), [], Site(storage="s3://b/runs"))  # doctest: +SKIP
    """
    draft = Draft.read(file, overrides, site)
    _refuse(draft.problems())  # before anything that is secret can get into another message
    job = draft.job()
    parts = parts_of(job)
    settled = settle(job, parts, site)
    problems = [problem for part in parts for problem in part.problems()]
    _refuse(job.document.sorted([*problems, *absolute_files(job), *settled.problems]))
    draft = draft.with_more(settled.overrides)
    job = draft.job()
    _refuse(draft.problems())
    found = check_here(draft, job, parts_of(job))
    beside = files_beside(job, parts)
    _refuse(told_files(beside))
    files = {
        JOB: draft.content.encode(),
        ORDERS: Orders(draft.overrides, draft.variables()).to_bytes(),
        **{f"{FOLDER}/{name}": content for name, content in beside.items()},
    }
    parcel = Parcel(
        name=job.spec.name,
        files=files,
        need=need_of(job, parts),
        run=found.run,
        storage=job.spec.storage,
        kind=job.spec.kind,
        remarks=[*found.remarks, *settled.remarks, *draft.remarks()],
    )
    _refuse_large(parcel, file)
    return parcel


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise JobError({str(problem): problem for problem in problems}.values())


def _refuse_large(parcel: Parcel, file: Path) -> None:
    if parcel.size <= LARGEST:
        return
    name, content = max(parcel.files.items(), key=lambda item: len(item[1]))
    raise InputError(
        Problem(
            "",
            f"{file} with the files beside it takes {parcel.size:,} bytes, {name} alone "
            f"{len(content):,}",
            allowed=f"{LARGEST:,} bytes",
            mend="put what is large into the image, or into the storage",
        )
    )
