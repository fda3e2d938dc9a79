"""What a sweep leaves in its folder and in MLflow."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from trainwright.plain import plain_json
from trainwright.runs import RunRecord
from trainwright.search.best import write_best
from trainwright.search.plan import Plan
from trainwright.search.plots import plot_sweep
from trainwright.search.plots.kept import RESULT
from trainwright.search.results import Sweep, best_of, rows_of
from trainwright.search.trials import Trial
from trainwright.storage import Folder

TABLE = "trials.csv"
PARTS = "parts.csv"
"""Of a population: which values each member had from which update on."""


def publish(plan: Plan, folder: Folder, record: RunRecord, trials: list[Trial]) -> Sweep:
    """Write ``sweep.json``, ``trials.csv`` and the jobs that can be run now.

    An interrupted sweep is told as far as it came; a later attempt writes all anew.

    Args:
        plan: the sweep.
        folder: the folder of its own run.
        record: its record, with the status already decided.
        trials: all trials.
    """
    result = result_of(plan, folder, record, trials)
    write_result(result, folder)
    folder.write_bytes(TABLE, _table(plan, result))
    parts = _parts_table(plan, result)
    if parts is not None:
        folder.write_bytes(PARTS, parts)
    write_best(plan, folder, best_of(trials, plan.judge))
    return result


def write_result(result: Sweep, folder: Folder) -> None:
    """Write ``sweep.json``; once more when it is known how long the sweep took."""
    folder.write_json(RESULT, plain_json(result.to_json()))


def drawn(plan: Plan, folder: Folder, trials: list[Trial], result: Sweep) -> Sweep:
    """The result, with its pictures drawn; a remark says why there are none.

    Args:
        plan: the sweep.
        folder: the folder of its own run.
        trials: all trials.
        result: what became of it.
    """
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
        run=folder.name,
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


def _table(plan: Plan, result: Sweep) -> bytes:
    """All trials as CSV, a row for each; parameters that are not active are empty.

    A parameter that is called as another column (``state``) is ``space.state`` here.
    """
    goals = [goal.name for goal in plan.judge.goals]
    taken = {"trial", "state", "rank", *goals, "steps", "seconds", "run", "error"}
    names = [parameter.name for parameter in plan.space.parameters]
    columns = [f"space.{name}" if name in taken else name for name in names]
    header = ["trial", "state", "rank", *goals, *columns, "steps", "seconds", "run", "error"]
    ranks = {number: rank for rank, number in enumerate(result.best, start=1)}
    rows = (
        [
            row.number,
            row.state,
            ranks.get(row.number, ""),
            *(row.values.get(name, "") for name in goals),
            *(row.assignment.get(name, "") for name in names),
            row.steps,
            f"{row.seconds:.3f}",
            row.run or "",
            row.error,
        ]
        for row in result.trials
    )
    return _csv(header, rows)


def _parts_table(plan: Plan, result: Sweep) -> bytes | None:
    """What the members of a population did with which values; None where there is none."""
    names = [parameter.name for parameter in plan.space.parameters]
    header = ["trial", "part", "step", *names, "run", "start_run", "start_checkpoint"]
    rows = [
        [
            row.number,
            index,
            part.step,
            *(part.assignment.get(name, "") for name in names),
            part.run or "",
            *_start(part.start_from),
        ]
        for row in result.trials
        for index, part in enumerate(row.parts)
    ]
    return _csv(header, rows) if rows else None


def _start(start_from: tuple[str, str] | None) -> tuple[str, str]:
    if start_from is None:
        return "", ""
    url, checkpoint = start_from
    return url.rstrip("/").rsplit("/", 1)[-1], checkpoint


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    return written.getvalue().encode()
