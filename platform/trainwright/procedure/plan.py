"""Everything that can be wrong with a procedure's job, found before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainwright.errors import InputError, JobError, Problem, RunError
from trainwright.job import Job
from trainwright.job.check import Use, data_uses, found_plugins, problems_of_uses
from trainwright.job.identity import run_name
from trainwright.orchestration.anchoring import anchored_data
from trainwright.orchestration.exporting import fingerprint_of, named_checkpoint
from trainwright.orchestration.machine import does_not_fit_here
from trainwright.orchestration.prepare import Prepared, located, storage_of
from trainwright.plugins import plugin_files
from trainwright.procedure.data import SPLITS, JobData
from trainwright.procedure.inputs import Inputs
from trainwright.procedure.own_runs import own_runs, shared_with
from trainwright.procedure.spec import ProcedureJob
from trainwright.procedure.trained import TrainedRun
from trainwright.runs import RunRecord, run_folder
from trainwright.storage import Folder
from trainwright.tracking import check_uri
from trainwright.training.plugins import build_plugin

SECTIONS: dict[str, str | None] = {"procedure": "procedures", "data": None, "seed": None}
"""Parts of the job that enter the run's name -> the group of their plugins."""


@dataclass(frozen=True)
class Plan:
    """A procedure that will run.

    Attributes:
        job: its job.
        name: the run's name.
        storage: where runs are kept.
        procedure: the object whose ``run`` is called.
        inputs: seed, data and earlier runs.
        plugin_files: the user's plugin files, relative path -> content.
        summary: what will be done with what, one line each.
        untrained: trainings that go before it, under their names in ``runs``.
    """

    job: Job[ProcedureJob]
    name: str
    storage: Folder
    procedure: Any
    inputs: Inputs
    plugin_files: dict[str, bytes]
    summary: list[str]
    untrained: dict[str, Job[Any]]


def make_plan(job: Job[ProcedureJob]) -> Plan:
    """Check a procedure's job whole: plugins, options, runs, data, and what the procedure says.

    Raises:
        InputError: with every problem found, each with its place in the job file.
    """
    spec, storage = job.spec, storage_of(job)
    with located(job):
        named = _uses(spec)
        runs, prints, problems = _runs(spec, storage)
        trainings, wrong = own_runs(job)
        prints |= {name: training.name for name, training in trainings.items()}
        runs |= _trained(trainings)
        untrained = {name: one.job for name, one in trainings.items() if name not in runs}
        uri = spec.tracking.uri if spec.tracking.enabled else None
        beside = [*(check_uri(uri) if uri else []), *does_not_fit_here(spec.cluster)]
        _refuse(job, [*problems_of_uses(named, job.base), *beside, *problems, *wrong])
        data = None
        if spec.data is not None:
            data = JobData(anchored_data(spec.data, job.base), job.base, spec.seed)
        fingerprint = data.splits.fingerprint if data is not None else ""
        procedure = build_plugin("procedures", spec.procedure, job.base, "procedure")
        inputs = Inputs(spec.seed, runs, data, shared_with(spec))
        if not untrained:  # it may look at the runs
            _check(procedure, spec, inputs)
    files = plugin_files(job.base, found_plugins(named, job.base))
    name = run_name(
        job,
        data_fingerprint=fingerprint,
        plugin_files=files,
        further={"runs": prints} if prints else {},
        sections=SECTIONS,
    )
    summary = [*_summary(spec, inputs), *(f"trained first: {name}" for name in untrained)]
    return Plan(job, name, storage, procedure, inputs, files, summary, untrained)


def _trained(trainings: Mapping[str, Prepared]) -> dict[str, TrainedRun]:
    """The runs of those that are finished."""
    found = {}
    for name, training in trainings.items():
        storage = storage_of(training.job)
        record = RunRecord.load(run_folder(storage, training.name, fresh=False))
        if record is not None and record.status == "finished":
            folder, record, checkpoint = named_checkpoint(storage, training.name)
            found[name] = TrainedRun(record.name, folder.url, checkpoint.name)
    return found


def _refuse(job: Job[Any], problems: Sequence[Problem]) -> None:
    if problems:
        raise JobError(job.document.sorted(list(problems)))


def _uses(spec: ProcedureJob) -> list[Use]:
    of_data = [] if spec.data is None else data_uses(spec.data)
    return [Use("procedures", spec.procedure, "procedure"), *of_data]


def _runs(
    spec: ProcedureJob, storage: Folder
) -> tuple[dict[str, TrainedRun], dict[str, str], list[Problem]]:
    """The earlier runs, what identifies their weights, and what is wrong with the others."""
    runs: dict[str, TrainedRun] = {}
    prints: dict[str, str] = {}
    problems: list[Problem] = []
    for name, source in spec.named_runs.items():
        try:
            folder, record, checkpoint = named_checkpoint(storage, source)
        except InputError as error:
            problems += [replace(p, path=f"runs.{name}", got=source) for p in error.problems]
        except RunError as error:
            problems.append(Problem(f"runs.{name}", str(error), source))
        else:
            runs[name] = TrainedRun(record.name, folder.url, checkpoint.name)
            prints[name] = fingerprint_of(folder, checkpoint)
    return runs, prints, problems


def _check(procedure: Any, spec: ProcedureJob, inputs: Inputs) -> None:
    """What makes it a procedure, and what it says itself to its inputs."""
    if not callable(getattr(procedure, "run", None)):
        message = "is no procedure: it has no method run(context)"
        raise JobError(Problem("procedure.name", message, spec.procedure.name))
    check = getattr(procedure, "check", None)
    if check is None:
        return
    try:
        check(inputs)
    except ValueError as error:
        mend = f"see `trainwright show procedures/{spec.procedure.name}`"
        message = f"{spec.procedure.name} refuses it: {error}"
        raise JobError(Problem("procedure", message, mend=mend)) from error


def _summary(spec: ProcedureJob, inputs: Inputs) -> list[str]:
    lines = [f"procedure: {spec.procedure.name}"]
    if inputs.has_data:
        splits = inputs.data.splits
        tables = [(name, getattr(splits, name)) for name in SPLITS]
        sizes = [f"{len(table)} {name}" for name, table in tables if table is not None]
        lines.append(f"data: {', '.join(sizes)} samples")
    if inputs.runs:
        named = [f"{name} is {run.name}@{run.step}" for name, run in inputs.runs.items()]
        lines.append(f"runs: {', '.join(named)}")
    cluster = spec.cluster
    where = f"up to {cluster.workers} side by side on Ray ({cluster.address})"
    lines.append(f"tasks: {where if cluster.workers else 'in this process'}")
    return lines
