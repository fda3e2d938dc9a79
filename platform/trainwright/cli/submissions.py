"""Submitted jobs in words: a line for each, and all that is known of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainwright.cli.reporting import Report
from trainwright.cli.words import duration, moment

if TYPE_CHECKING:
    from trainwright.submission.target import Submission

_WIDTH_OF_THE_TABLE = 110
_STYLES = {
    "waiting": "yellow",
    "running": "cyan",
    "finished": "bold green",
    "failed": "bold red",
    "stopped": "yellow",
}


def line_of(submission: Submission) -> Text:
    """One line: its name, its state, how far it is, and why."""
    parts = [Text(submission.id, style="bold"), _state(submission)]
    if submission.progress is not None:
        parts.append(Text(submission.progress.line))
    if submission.says:
        parts.append(Text(submission.says))
    return Text("  ").join(parts)


def list_all(out: Console, submissions: Sequence[Submission]) -> None:
    """All of them: a table, or where that would cut names a line for each."""
    if out.width >= _WIDTH_OF_THE_TABLE:
        out.print(_table(submissions))
        return
    for submission in submissions:
        out.print(line_of(submission), soft_wrap=True)


def tell_details(report: Report, submission: Submission) -> None:
    """What else is known of it, one line each."""
    rows: list[tuple[str, str]] = []
    if submission.submitted is not None:
        end = time.time() if submission.ended is None else submission.ended
        passed = duration(max(0.0, end - submission.submitted))
        how = f"took {passed}" if submission.has_ended else f"{passed} ago"
        rows.append(("sent", f"{moment(submission.submitted)}, {how}"))
    if submission.run:
        rows.append(("run", submission.run))
    if submission.storage:
        rows.append(("storage", submission.storage))
    rows += submission.details.items()
    for label, text in rows:
        report.out.print(Text.assemble((f"  {label:<12}", "dim"), text), soft_wrap=True)


def _table(submissions: Sequence[Submission]) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("submission", "state", "sent", "progress", ""):
        table.add_column(heading, no_wrap=heading != "")
    for one in submissions:
        sent = moment(one.submitted) if one.submitted is not None else ""
        progress = f"{one.progress.percent}%" if one.progress is not None else ""
        table.add_row(Text(one.id, style="bold"), _state(one), sent, progress, Text(one.says))
    return table


def _state(submission: Submission) -> Text:
    return Text(submission.state, style=_STYLES[submission.state])
