"""What a comparison leaves in its folder and in MLflow."""

from __future__ import annotations

from dataclasses import replace

from trainwright.compare.plan import Plan
from trainwright.compare.plots import plot_comparison
from trainwright.compare.quantities import Recorded
from trainwright.compare.results import Comparison, costs_of, judgements_of, rows_of
from trainwright.compare.tables import markdown
from trainwright.plain import plain_json
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, next_attempt

RESULT = "compare.json"
TABLE = "table.md"


def publish(plan: Plan, folder: Folder, record: RunRecord) -> Comparison:
    """Judge a comparison; write ``compare.json``, ``table.md``, plots and the journal.

    Args:
        plan: its runs.
        folder: the folder of its own run.
        record: its record, with the status already decided.
    """
    result, recorded = judged(plan, folder, record)
    write_result(result, folder)
    _write_journal(plan, result, folder)
    try:
        plot_comparison(plan, recorded, result.rows, folder)
    except Exception as error:  # a plot is never worth a comparison
        return replace(result, remarks=[f"no plots: {type(error).__name__}: {error}"])
    return result


def judged(plan: Plan, folder: Folder, record: RunRecord) -> tuple[Comparison, Recorded]:
    """The result of a comparison from what its runs recorded."""
    recorded = Recorded(plan)
    rows = rows_of(plan, recorded)
    result = Comparison(
        run=folder.url.rstrip("/").rsplit("/", 1)[-1],
        status=record.true_status,
        metrics={f"{row.variant}/{row.quantity}": row.estimate.mean for row in rows if row.values},
        storage=folder.url,
        mlflow_run_id=record.mlflow.get("run_id"),
        seconds=record.seconds,
        steps=record.steps,
        baseline=plan.job.spec.baseline,
        placebo=plan.placebo,
        seeds=len(plan.job.spec.seed_list),
        rows=rows,
        costs=costs_of(plan, recorded),
        expectations=judgements_of(plan, recorded),
    )
    return result, recorded


def write_result(result: Comparison, folder: Folder) -> None:
    """Write ``compare.json`` and ``table.md``."""
    folder.write_json(RESULT, plain_json(result.to_json()))
    folder.write_bytes(TABLE, markdown(result).encode())


def completed(result: Comparison, record: RunRecord) -> Comparison:
    """The result with what is known only after the end of sending."""
    run_id = record.mlflow.get("run_id")
    return replace(result, mlflow_run_id=run_id, seconds=record.seconds, steps=record.steps)


def _write_journal(plan: Plan, result: Comparison, folder: Folder) -> None:
    """Values of each seed with the seed as the step, then means and mean differences."""
    rows: dict[int, dict[str, float]] = {seed: {} for seed in plan.job.spec.seed_list}
    means: dict[str, float] = {}
    for row in result.rows:
        key = f"{row.variant}/{row.quantity.replace('@', '.')}"
        for seed, value in row.values.items():
            rows[seed][key] = value
        if row.values:
            means[f"mean/{key}"] = row.estimate.mean
        if row.difference is not None and row.difference.count:
            means[f"difference/{key}"] = row.difference.mean
    for cost in result.costs:
        means[f"cost/{cost.variant}"] = cost.ratio
    means["expectations/held"] = float(sum(j.holds for j in result.expectations))
    means["expectations/all"] = float(len(result.expectations))
    with JournalWriter(folder, next_attempt(folder), [], 1) as journal:
        for seed, values in rows.items():
            if values:
                journal.metrics(seed, values)
        journal.metrics(0, means)
