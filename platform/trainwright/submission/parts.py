"""The jobs of single runs that a job of any kind consists of, and where in its file they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainwright.errors import JobError, Problem
from trainwright.job import Job
from trainwright.orchestration.named_paths import named_paths, uses_of


@dataclass(frozen=True)
class Part:
    """The job of one run, or of several that are alike.

    Attributes:
        job: the job, of kind ``train``, ``federated`` or ``procedure``.
        place: a dotted path in it -> where that is written in the whole job.
        is_own: whether its storage and tracking are its own, and not those of the whole.
    """

    job: Job[Any]
    place: Callable[[str], str] = lambda path: path
    is_own: bool = False

    def paths(self) -> list[tuple[str, Any]]:
        """The paths and URLs of files that it names: where they are written, and as what."""
        return [(self.place(path), value) for path, value in named_paths(self.job)]

    def problems(self) -> list[Problem]:
        """What is wrong with its plugins and their options."""
        from trainwright.job.check import check_plugins, problems_of_uses

        if self.job.spec.kind == "train":
            found = check_plugins(self.job)
        else:
            found = problems_of_uses(uses_of(self.job.spec), self.job.base)
        return [replace(problem, path=self.place(problem.path)) for problem in found]


def parts_of(job: Job[Any]) -> list[Part]:
    """Every run that a job may come to, as far as they differ in what they name.

    Variants of a comparison count once, not for each seed; of a sweep there is a trial for every
    option of its space; a procedure comes with the trainings that go before it.

    Raises:
        JobError: a variant, a trial or a training is no job.
    """
    return list(_PARTS[job.spec.kind](job))


def _alone(job: Job[Any]) -> Iterator[Part]:
    yield Part(job, is_own=True)


def _of_procedure(job: Job[Any]) -> Iterator[Part]:
    from trainwright.procedure.own_runs import training_of

    yield Part(job, is_own=True)
    for name in job.spec.own_runs:
        section = f"runs.{name}"

        def place(path: str, section: str = section) -> str:
            return f"{section}.{path}" if path else section

        try:
            training = training_of(job, name)
        except JobError as error:
            told = [replace(p, path=place(p.path)) for p in error.problems]
            raise JobError(job.document.sorted(told)) from error
        yield Part(training, place, is_own=True)


def _of_comparison(job: Job[Any]) -> Iterator[Part]:
    from trainwright.compare.variants import variants_of

    for variant in variants_of(job).values():
        run = variant.job(job.spec.seed_list[0])
        yield from _within(run, variant.inner.path_of)


def _of_sweep(job: Job[Any]) -> Iterator[Part]:
    from trainwright.search.jobs import PLACE, TrialJobs
    from trainwright.search.plan import examples_of
    from trainwright.search.rules import parsed
    from trainwright.search.space.sampling import Sampler

    read, jobs = parsed(job.spec), TrialJobs(job)
    sampler = Sampler(read.space, job.spec.seed, read.constraints, job.spec.base)
    makers = [jobs.make, jobs.make_transferred] if job.spec.transfer else [jobs.make]
    for assignment in examples_of(read.space):
        places = read.space.places(assignment)
        for make in makers:
            try:
                trial = make(read.space.changes(assignment), places)
            except JobError:
                if sampler.fulfils(assignment):
                    raise
                continue  # the constraints are there to rule it out
            yield from _within(trial.job, _in_space(places, PLACE, trial.inner.path_of))


def _in_space(
    places: Mapping[str, str], section: str, otherwise: Callable[[str], str]
) -> Callable[[str], str]:
    def place(path: str) -> str:
        return f"{section}.{places[path]}" if path in places else otherwise(path)

    return place


def _within(run: Job[Any], outer: Callable[[str], str]) -> Iterator[Part]:
    """A run of a comparison or sweep, and the trainings before it."""
    for part in _PARTS[run.spec.kind](run):
        yield replace(part, place=_through(part.place, outer), is_own=False)


def _through(inner: Callable[[str], str], outer: Callable[[str], str]) -> Callable[[str], str]:
    return lambda path: outer(inner(path))


_PARTS: dict[str, Callable[[Job[Any]], Iterator[Part]]] = {
    "train": _alone,
    "federated": _alone,
    "procedure": _of_procedure,
    "compare": _of_comparison,
    "sweep": _of_sweep,
}
