"""The jobs that a sweep leaves: a trial's values as a file that can be run from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from trainwright.compare.checked import check
from trainwright.errors import Location
from trainwright.federated.client_job import client_job
from trainwright.federated.spec import FederatedJob
from trainwright.federated.uses import uses as federated_uses
from trainwright.job import Job
from trainwright.job.check import Use, data_uses, uses, with_inner
from trainwright.job.models import DataSpec, TrainJob
from trainwright.job.overrides import changed
from trainwright.job.sources import is_file_source
from trainwright.job.yaml_reader import Parsed
from trainwright.orchestration.kept_plugins import kept_plugin_files
from trainwright.orchestration.starting import is_file
from trainwright.plugins import find
from trainwright.plugins.markers import path_options
from trainwright.plugins.resolve import absolute
from trainwright.search.plan import Plan
from trainwright.search.trials import Trial, labelled
from trainwright.secrets import mask
from trainwright.storage import Folder

BEST = "best.yaml"
TRANSFERRED = "transferred.yaml"
FRONT = "front"
"""Folder with a job for each member of the Pareto front, named by the number of its trial."""

_FIRST = ("version", "kind", "name")
_LAST = ("cluster", "storage", "tracking")


def write_best(plan: Plan, folder: Folder, best: Sequence[Trial]) -> None:
    """Write the jobs of the best trials, with the user's plugin files beside them.

    Args:
        plan: the sweep.
        folder: of the sweep's own run.
        best: the best trials, best first; for several goals the Pareto front.
    """
    if not best:
        return
    first = best[0]
    _put(folder, BEST, best_job(plan, first, folder), _plugins(plan, first))
    if plan.job.spec.transfer:
        changes = plan.space.changes(first.assignment)
        files = check(plan.jobs.make_transferred(changes).job).plugin_files
        _put(folder, TRANSFERRED, transferred_job(plan, first, folder), files)
    if len(plan.judge.goals) > 1:
        _write_front(plan, folder, best)


def best_job(plan: Plan, trial: Trial, folder: Folder, label: str = "best") -> str:
    """A trial as a job file of its own.

    Args:
        plan: the sweep.
        trial: the trial.
        folder: the folder of the sweep's run, where the file will lie.
        label: what is added to the sweep's name.
    """
    changes = plan.space.changes(trial.assignment)
    values, job = plan.jobs.values(changes), plan.jobs.make(changes).job
    return _head(plan, trial, folder) + _written(plan, values, job, label)


def transferred_job(plan: Plan, trial: Trial, folder: Folder) -> str:
    """The best trial with what ``transfer`` changes, as a job file of its own.

    Args:
        plan: the sweep.
        trial: the trial.
        folder: the folder of the sweep's run, where the file will lie.
    """
    changes = plan.space.changes(trial.assignment)
    values = plan.jobs.transferred_values(changes)
    job = plan.jobs.make_transferred(changes).job
    head = f"# Transferred to {labelled(plan.job.spec.transfers, most=20)}\n"
    return _head(plan, trial, folder) + head + _written(plan, values, job, "transferred")


def _write_front(plan: Plan, folder: Folder, front: Sequence[Trial]) -> None:
    place = folder / FRONT
    names = set()
    for trial in front:
        name = f"{trial.number:03d}.yaml"
        names.add(name)
        text = best_job(plan, trial, folder, f"front-{trial.number}")
        _put(place, name, text, _plugins(plan, trial))
    # Beaten since, by a trial that was added or had been interrupted.
    for name in place.names():
        if name.endswith(".yaml") and name not in names:
            place.remove(name)


def _put(folder: Folder, name: str, text: str, plugin_files: Mapping[str, bytes]) -> None:
    for file, content in plugin_files.items():
        folder.write_bytes(file, content)
    folder.write_bytes(name, text.encode())


def _plugins(plan: Plan, trial: Trial) -> dict[str, bytes]:
    """The user's plugin files as they were when the trial ran."""
    return {} if trial.run is None else kept_plugin_files(plan.storage / trial.run)


def _head(plan: Plan, trial: Trial, folder: Folder) -> str:
    values = [(goal.name, goal.of(trial)) for goal in plan.judge.goals]
    told = [f"{name} {value:.6g}" for name, value in values if value is not None]
    what = "On the Pareto front" if len(values) > 1 else "The best"
    population = (
        "# A population changed its values on the way; this job has the last ones from its start.\n"
    )
    return (
        f"# {what} of the trials of {folder.name}: number {trial.number}, {', '.join(told)}.\n"
        f"# {labelled(trial.assignment, most=20)}\n"
        f"{population if len(trial.segments) > 1 else ''}"
    )


def _written(plan: Plan, values: Mapping[str, Any], job: Job[Any], label: str) -> str:
    """A job that means the same in any folder, and finds the runs that the sweep's trials found."""
    parsed = Parsed(dict(values), {})
    for path, value in _anchored(job):
        parsed = changed(parsed, path, value, Location(path))
    tracking = plan.job.spec.tracking.model_dump(mode="json", exclude_unset=True)
    whole = {
        **({"tracking": tracking} if tracking else {}),
        **parsed.values,
        "version": 1,
        "name": f"{plan.job.spec.name}-{label}",
        "storage": plan.storage.url,
    }
    others = [key for key in whole if key not in (*_FIRST, *_LAST)]
    ordered = {key: whole[key] for key in (*_FIRST, *others, *_LAST) if key in whole}
    text: str = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True)
    return mask(text.replace("${", "$${"))


def _anchored(job: Job[Any]) -> Iterator[tuple[str, Any]]:
    """Dotted path and value of all that is relative to the folder of the job's file."""
    spec, base = job.spec, job.base
    if spec.data is not None:
        for path, source, format in _sources(spec.data):
            if isinstance(source, str) and is_file_source(source, format):
                yield path, absolute(source, base)
    for use in (inner for outer in _uses(spec) for inner in with_inner(outer, base)):
        for option in path_options(find(use.group, use.spec.name, base)):
            if option in use.spec.options:
                yield use.option_path(option), absolute(use.spec.options[option], base)
    model = getattr(spec, "model", None)
    if model is not None and model.weights is not None and is_file(model.weights.source, base):
        skip = {"skip": model.weights.skip} if model.weights.skip else {}
        yield "model.weights", {"from": absolute(model.weights.source, base), **skip}


def _sources(data: DataSpec) -> Iterator[tuple[str, Any, str]]:
    yield "data.source", data.source, data.format
    for name, held in (("validation", data.validation), ("test", data.test)):
        if held is not None:
            yield f"data.{name}.source", held.source, data.format
    for name, named in data.sources.items():
        yield f"data.sources.{name}.source", named.source, named.format


def _uses(spec: Any) -> list[Use]:
    """The plugins that a job of a kind that can be tried names."""
    if isinstance(spec, TrainJob):
        return uses(spec)
    if isinstance(spec, FederatedJob):
        return [*uses(client_job(spec)), *federated_uses(spec)]
    of_data = [] if spec.data is None else data_uses(spec.data)
    return [Use("procedures", spec.procedure, "procedure"), *of_data]
