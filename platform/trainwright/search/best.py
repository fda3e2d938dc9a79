"""The jobs that a sweep leaves: a trial's values as a file that can be run from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainwright.compare.checked import check
from trainwright.errors import Location
from trainwright.job import Job
from trainwright.job.overrides import changed
from trainwright.job.yaml_reader import Parsed
from trainwright.job.yaml_writer import yaml_text
from trainwright.orchestration.kept_plugins import kept_plugin_files
from trainwright.orchestration.named_paths import anchored_paths
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
    for path, value in anchored_paths(job):
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
    text = yaml_text(ordered)
    return mask(text.replace("${", "$${"))
