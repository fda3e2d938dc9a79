"""Every example job of the repository in one folder, and what becomes of a job file there."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainwright.compare.variants import variants_of
from trainwright.errors import InputError, JobError, Problem
from trainwright.federated.client_job import as_client_job
from trainwright.federated.uses import uses
from trainwright.job import Job
from trainwright.job.check import Use, check_plugins, problems_of_uses
from trainwright.search.jobs import TrialJobs
from trainwright.search.rules import parsed
from trainwright.search.space import Sampler

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RICH = [ROOT / "tests/platform/job" / name for name in ("rich.yaml", "federated.yaml")]
FILES = [*sorted((ROOT / "jobs").rglob("*.yaml")), *RICH]
TEXTS = [
    *(file.read_text() for file in FILES),
    *re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL),
]
LONGEST_S = 30.0
"""For one job on a loaded machine; far more than any takes, far less than for ever."""
MOST_MEMORY = 4 << 30
"""Bytes that checking a job may take beyond those that the process has already."""


def fill(folder: Path) -> None:
    """Put the example jobs and README's plugins beside the jobs that are to be spoilt."""
    for file in FILES:
        shutil.copy(file, folder)
        for plugin in re.findall(r"(\w+\.py):", file.read_text()):
            if (file.parent / plugin).exists():
                shutil.copy(file.parent / plugin, folder)
    for name, text in re.findall(r"`([\w/]+\.py)`:\n+```python\n(.*?)```", README, flags=re.DOTALL):
        (folder / name).write_text(text)


def problems_in(path: Path, overrides: Sequence[str]) -> list[Problem]:
    """What reading a job of any kind and checking its plugins finds."""
    try:
        job = Job.load(path, overrides)
        return [problem for part in _parts(job) for problem in _problems(part)]
    except InputError as error:
        return error.problems


def _parts(job: Job[Any]) -> list[Job[Any]]:
    if job.spec.kind != "compare":
        return [job]
    return [variant.job(job.spec.seed_list[0]) for variant in variants_of(job).values()]


def _problems(job: Job[Any]) -> list[Problem]:
    if job.spec.kind == "train":
        return check_plugins(job)
    if job.spec.kind == "sweep":
        return _problems_of_a_trial(job)
    if job.spec.kind == "federated":
        named = problems_of_uses(uses(job.spec), job.base)
        return job.document.sorted([*check_plugins(as_client_job(job)), *named])
    use = Use("procedures", job.spec.procedure, "procedure")
    return job.document.sorted(problems_of_uses([use], job.base))


def _problems_of_a_trial(job: Job[Any]) -> list[Problem]:
    space = parsed(job.spec).space
    trial = TrialJobs(job).make(space.changes(Sampler(space, job.spec.seed).draw(0)))
    with trial.inner.told():
        if found := _problems(trial.job):
            raise JobError(found)
    return []


def assert_well_told(problems: Sequence[Problem]) -> None:
    """Each problem says what is wrong and where, in signs that any terminal can take."""
    for problem in problems:
        place = problem.location
        assert problem.message, problem
        assert place is not None, problem
        assert place.file, problem
        assert place.line or place.file.startswith("-s ") or not problem.path, problem
        assert str(problem).replace("\n", "").replace("\t", "").isprintable(), problem
        str(problem).encode()


class TookTooLongError(BaseException):
    """No ``Exception``, so that nothing on the way takes it for a plugin's failure."""


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """What is done inside must end in time and without taking all memory."""

    def give_up(*_: Any) -> None:
        raise TookTooLongError

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_MEMORY
    earlier = signal.signal(signal.SIGALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, earlier)
