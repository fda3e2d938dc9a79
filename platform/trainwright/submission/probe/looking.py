"""All that is looked at on the cluster, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from trainwright.doctor.finding import Finding
from trainwright.doctor.machine import check_memory, check_open_files
from trainwright.doctor.software import check_deepspeed, check_plugins
from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.job.cluster_spec import PoolSpec, Processes
from trainwright.submission.probe.job import check_job, check_places, of_problems, read_job
from trainwright.submission.probe.nodes import check_nodes
from trainwright.submission.probe.questions import Questions, has_job
from trainwright.submission.probe.room import check_cuda, check_folders
from trainwright.submission.probe.versions import check_versions

_NEXT = "this check itself failed; look at the log, or leave it out by --no-probe"


def look(folder: Path) -> Iterator[Finding]:
    """Look at one thing after the other; what fails is told and does not end the rest.

    Args:
        folder: holds the questions, and the job if there is one.
    """
    questions = Questions.read(folder)
    missing = False
    for finding in check_versions(questions.versions):
        missing = missing or finding.state == "stop"
        yield finding
    yield check_memory()
    yield from check_folders()
    yield check_open_files()
    if missing:
        return
    job = None
    if has_job(folder):
        try:
            job = read_job(folder)
        except InputError as error:
            yield from of_problems("job", error.problems)
            return
    yield from _software(questions, job)
    yield from _places(questions, job)


def _software(questions: Questions, job: Job[Any] | None) -> Iterator[Finding]:
    cluster = _cluster_of(job)
    wanted = questions.gpus or (cluster is not None and cluster.gpus_per_worker > 0)
    yield from _guarded("gpu", lambda: [check_cuda(wanted)])
    yield from _guarded("plugins", check_plugins)
    if cluster is None or cluster.max_workers > 0:
        yield check_deepspeed()


def _places(questions: Questions, job: Job[Any] | None) -> Iterator[Finding]:
    storage, tracking, tracks = questions.storage, questions.tracking, True
    if job is not None:
        storage = job.spec.storage
        tracking, tracks = job.spec.tracking.uri, job.spec.tracking.enabled
    works = storage is not None
    for finding in _guarded("storage", partial(check_places, storage, tracking, tracks)):
        works = works and finding.state != "stop"
        yield finding
    if job is not None:
        yield from _guarded("job", partial(check_job, job))
    if questions.joins:
        seen = storage if works else None
        yield from _guarded("ray cluster", partial(check_nodes, _cluster_of(job), seen))


def _cluster_of(job: Job[Any] | None) -> Processes | None:
    if job is None:
        return None
    cluster: Processes | PoolSpec = job.spec.cluster
    return cluster.as_cluster() if isinstance(cluster, PoolSpec) else cluster


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a check; an error in it is one, too."""
    try:
        yield from check()
    except InputError as error:
        yield from of_problems(name, error.problems)
    except Exception as error:  # whatever stands in the way on a machine that is not known
        yield Finding(name, "stop", f"{type(error).__name__}: {error}", _NEXT)
