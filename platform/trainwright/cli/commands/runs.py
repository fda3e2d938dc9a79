"""``trainwright runs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson, Storage
from trainwright.cli.reporting import Report, reporting
from trainwright.cli.words import duration, metrics, moment

if TYPE_CHECKING:
    from trainwright.overview import RunOverview

_WIDTH_OF_THE_TABLE = 120
MOST_METRICS = 8
_STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow", "failed": "red"}


def runs(
    storage: Storage = DEFAULT_STORAGE,
    whole: Annotated[
        str | None,
        typer.Option("--parent", metavar="RUN", help="Those inside this comparison or sweep."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Those inside comparisons and sweeps, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first, and what MLflow has of them.

    The runs of a comparison and the trials of a sweep are left out, unless they are asked for;
    JSON has all of them, each with its parent.

    Examples:
    $ trainwright runs
    $ trainwright runs --parent digits-rates
    $ trainwright runs --storage s3://bucket/runs --json
    """
    with reporting(as_json) as report:
        from trainwright.overview import folded, open_storage, overview, parts_of, shown

        place = open_storage(storage)
        found = overview(place)
        if whole is not None:
            found = parts_of(found, whole)
        report.answer = {"storage": place.url, "runs": [entry.to_json() for entry in found]}
        if not found:
            report.err.print(
                Text(f"nothing has run in {shown(place.url)} yet; --storage looks elsewhere"),
                soft_wrap=True,
            )
        elif not as_json:
            listed = found if everything or whole is not None else folded(found)
            _say(report, listed)
            left = len(found) - len(listed)
            if left:
                hint = f"{left} more inside of these: --parent RUN lists those of one, --all all"
                report.out.print(Text(hint, style="dim"), soft_wrap=True)


def _say(report: Report, found: Sequence[RunOverview]) -> None:
    show = _table if report.out.width >= _WIDTH_OF_THE_TABLE else _paragraphs
    show(report, found)
    for entry in found:
        if entry.status == "failed" and entry.error:
            report.out.print(Text(f"{entry.run}: {entry.error}", style="red"), soft_wrap=True)
    if any(entry.tracking.sent in ("part", "none") for entry in found):
        hint = "`trainwright sync` sends what MLflow lacks"
        report.out.print(Text(hint, style="dim"))


def _table(report: Report, found: Sequence[RunOverview]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("run", "status", "steps", "workers", "metrics", "started", "took", "mlflow"):
        numeric = name in ("steps", "workers", "took")
        table.add_column(name, no_wrap=name != "metrics", justify="right" if numeric else "left")
    for entry in found:
        table.add_row(
            entry.run,
            Text(entry.status, style=_STYLES.get(entry.status, "")),
            _done(entry, of_updates=""),
            _workers(entry),
            metrics(entry.metrics, MOST_METRICS),
            moment(entry.started),
            duration(entry.seconds),
            _mlflow(entry),
        )
    report.out.print(table)


def _paragraphs(report: Report, found: Sequence[RunOverview]) -> None:
    """Two lines for each run, where a table would cut names."""
    for entry in found:
        status = Text(entry.status, style=_STYLES.get(entry.status, ""))
        workers = f"{_workers(entry)} workers  " if entry.range_of_workers else ""
        facts = f"  {_done(entry, ' steps')}  {workers}{duration(entry.seconds)}  "
        mlflow = Text.assemble("mlflow ", _mlflow(entry))
        report.out.print(Text.assemble((entry.run, "bold"), "  ", status, facts, mlflow))
        values = metrics(entry.metrics, MOST_METRICS)
        when = f"started {moment(entry.started)}"
        report.out.print(Text(f"  {when}{'; ' if values else ''}{values}", style="dim"))


def _done(entry: RunOverview, of_updates: str) -> str:
    """How far it is; ``of_updates`` follows where updates are counted."""
    unit = of_updates if entry.unit == "steps" else f" {entry.unit}"
    total = f"/{entry.total_steps}" if entry.total_steps else ""
    return f"{entry.steps}{total}{unit}"


def _workers(entry: RunOverview) -> str:
    """How many there are, of a range with its ends."""
    if entry.range_of_workers is None:
        return str(entry.workers or "")
    least, most = entry.range_of_workers
    return f"{entry.workers} of {least} to {most}"


def _mlflow(entry: RunOverview) -> Text:
    state = entry.tracking
    if state.sent == "part" or state.sent == "none":
        left = f"{state.left:,} rows left" if state.left else "rows left"
        return Text(left, style="yellow")
    return Text({"all": "sent", "off": "off", "sending": "sending"}[state.sent])
