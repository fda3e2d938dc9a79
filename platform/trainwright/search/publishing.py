"""What a sweep leaves in its folder and in MLflow."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml

from trainwright.orchestration.kept_plugins import keep_plugin_files
from trainwright.plain import plain_json
from trainwright.runs import RunRecord
from trainwright.search.goals import Goal
from trainwright.search.plan import Plan
from trainwright.search.plots import plot_sweep
from trainwright.search.results import Sweep, best_of, rows_of
from trainwright.search.trials import Trial, labelled
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, next_attempt

RESULT = "sweep.json"
TABLE = "trials.csv"
BEST = "best.yaml"
TRANSFERRED = "transferred.yaml"


def publish(plan: Plan, folder: Folder, record: RunRecord, trials: list[Trial]) -> Sweep:
    """Write ``sweep.json``, ``trials.csv``, the jobs that can be run now, journal and pictures.

    Args:
        plan: the sweep.
        folder: the folder of its own run.
        record: its record, with the status already decided.
        trials: all trials.
    """
    result = result_of(plan, folder, record, trials)
    folder.write_json(RESULT, plain_json(result.to_json()))
    folder.write_bytes(TABLE, _table(plan, result).encode())
    best = best_of(trials, plan.judge)
    if best:
        keep_plugin_files(folder, plan.checked.plugin_files)
        folder.write_bytes(BEST, best_job(plan, best[0], folder).encode())
        if plan.job.spec.transfer:
            folder.write_bytes(TRANSFERRED, transferred_job(plan, best[0], folder).encode())
    _write_journal(plan, trials, folder)
    try:
        plot_sweep(plan.space, plan.judge, trials, folder, plan.job.spec.name)
    except Exception as error:  # a plot is never worth a sweep
        return replace(result, remarks=[f"no plots: {type(error).__name__}: {error}"])
    return result


def result_of(plan: Plan, folder: Folder, record: RunRecord, trials: list[Trial]) -> Sweep:
    """What became of a sweep, from its trials."""
    best = best_of(trials, plan.judge)
    metrics = {"trials/finished": float(sum(trial.state == "finished" for trial in trials))}
    if best:
        values = {goal.name: goal.of(best[0]) for goal in plan.judge.goals}
        metrics |= {f"best/{name}": value for name, value in values.items() if value is not None}
    return Sweep(
        run=folder.url.rstrip("/").rsplit("/", 1)[-1],
        status=record.true_status,
        metrics=metrics,
        storage=folder.url,
        mlflow_run_id=record.mlflow.get("run_id"),
        seconds=record.seconds,
        steps=sum(trial.has_ended for trial in trials),
        unit="trials",
        goals={goal.name: "max" if goal.highest else "min" for goal in plan.judge.goals},
        trials=rows_of(trials, plan.judge),
        best=[trial.number for trial in best],
    )


def best_job(plan: Plan, trial: Trial, folder: Folder) -> str:
    """The best trial as a job file of its own.

    Args:
        plan: the sweep.
        trial: the trial.
        folder: the folder of the sweep's run, where the file will lie.
    """
    values = plan.jobs.values(plan.space.changes(trial.assignment))
    return _head(plan, trial, folder) + _job(values, f"{plan.job.spec.name}-best")


def transferred_job(plan: Plan, trial: Trial, folder: Folder) -> str:
    """The best trial with what ``transfer`` changes, as a job file of its own.

    Args:
        plan: the sweep.
        trial: the trial.
        folder: the folder of the sweep's run, where the file will lie.
    """
    spec = plan.job.spec
    values = plan.jobs.transferred_values(plan.space.changes(trial.assignment))
    head = f"{_head(plan, trial, folder)}# Transferred to {labelled(spec.transfers, most=20)}\n"
    return head + _job(values, f"{spec.name}-transferred")


def _head(plan: Plan, trial: Trial, folder: Folder) -> str:
    values = [(goal.name, goal.of(trial)) for goal in plan.judge.goals]
    told = [f"{name} {value:.6g}" for name, value in values if value is not None]
    return (
        f"# The best of the trials of {folder.url.rstrip('/').rsplit('/', 1)[-1]}: "
        f"number {trial.number}, {', '.join(told)}.\n"
        f"# {labelled(trial.assignment, most=20)}\n"
    )


def _job(values: dict[str, Any], name: str) -> str:
    text: str = yaml.safe_dump({**values, "name": name}, sort_keys=False, allow_unicode=True)
    return text


def _table(plan: Plan, result: Sweep) -> str:
    """All trials as CSV: number, state, goals, parameters, run."""
    goals = [goal.name for goal in plan.judge.goals]
    names = [parameter.name for parameter in plan.space.parameters]
    header = ["trial", "state", *goals, *names, "steps", "seconds", "run", "error"]
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(header)
    for row in result.trials:
        table.writerow(
            [
                row.number,
                row.state,
                *(row.values.get(name, "") for name in goals),
                *(row.assignment.get(name, "") for name in names),
                row.steps,
                f"{row.seconds:.3f}",
                row.run or "",
                row.error,
            ]
        )
    return written.getvalue()


def _write_journal(plan: Plan, trials: Sequence[Trial], folder: Folder) -> None:
    """Values of each trial with its number as the step, and the best so far."""
    with JournalWriter(folder, next_attempt(folder), [], 1) as journal:
        best: dict[str, float] = {}
        for trial in trials:
            row: dict[str, float] = {}
            for goal in plan.judge.goals:
                value = goal.of(trial)
                if trial.state != "finished" or value is None:
                    continue
                row[f"trial/{goal.name}"] = value
                best[goal.name] = _better(goal, best.get(goal.name), value)
            if row:
                journal.metrics(trial.number, {**row, **_named(best)})


def _better(goal: Goal, known: float | None, value: float) -> float:
    if known is None:
        return value
    return max(known, value) if goal.highest else min(known, value)


def _named(best: dict[str, float]) -> dict[str, float]:
    return {f"best/{name}": value for name, value in best.items()}
