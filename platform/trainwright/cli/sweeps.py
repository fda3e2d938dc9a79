"""How a sweep looks on the command line at its end: the best trials, what failed, what is next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from trainwright.cli.screens import tell_places
from trainwright.cli.trials import (
    LiveTrials,
    TrialLines,
    cell,
    counted,
    in_words,
    short_names,
)
from trainwright.cli.views import SilentView, View
from trainwright.cli.words import command, duration, number
from trainwright.storage import Folder

if TYPE_CHECKING:
    from trainwright.cli.reporting import Report
    from trainwright.job import Job
    from trainwright.search.results import Sweep, TrialRow

MOST_SHOWN = 10
"""Trials in the table of the best."""

MOST_REASONS = 5
"""Kinds of failure that are told; ``trials.csv`` has all."""

_NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?")


class SweepScreen:
    """A sweep: what runs and what is best so far, then the best trials."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def view(self, console: Console, label: str, quiet: bool) -> View:
        """Live on a terminal, a few lines in a log."""
        if quiet:
            return SilentView()
        return LiveTrials(console, label) if console.is_terminal else TrialLines(console)

    def tell(self, report: Report, result: Any) -> None:
        """The best trials, what failed, and where everything lies."""
        found: Sweep = result
        report.out.print(best_table(found, report.out))
        report.out.print()
        for kind, text in failures(found):
            report.error(text, kind)
        title = verdict(found, report.anew)
        (report.err if report.as_json else report.out).print(title, soft_wrap=True)
        tell_places(report, found)
        for label, text in next_steps(found):
            report.out.print(Text.assemble((f"  {label:<12}", "dim"), text), soft_wrap=True)


def next_steps(result: Sweep) -> Iterator[tuple[str, str]]:
    """Label and command, or file, of what a sweep left."""
    from trainwright.overview import parent, shown, storage_option
    from trainwright.search.best import BEST, FRONT, TRANSFERRED
    from trainwright.search.publishing import PARTS, TABLE

    folder = Folder(result.storage)
    yield "trials", f"{shown(folder.url)}/{TABLE}"
    if folder.exists(PARTS):
        yield "on the way", f"{shown(folder.url)}/{PARTS} (which values a member had when)"
    for label, name in (("best job", BEST), ("transferred", TRANSFERRED)):
        if folder.exists(name):
            yield label, command("trainwright", "run", f"{shown(folder.url)}/{name}")
    members = folder.names(FRONT)
    if members:
        yield "front", f"{shown(folder.url)}/{FRONT} (a job for each of {len(members)} trials)"
    if result.winner is not None and result.winner.run is not None:
        weights = command("trainwright", "export", result.winner.run)
        yield "weights", weights + storage_option(parent(folder))


def verdict(result: Sweep, anew: str) -> Text:
    """One line: how many trials ended how, how long it took, or how it is begun once more."""
    counts = ", ".join(f"{n} {state}" for state, n in counted(_states(result)).items())
    took = "nothing was run" if result.already_finished else f"took {duration(result.seconds)}"
    good = result.exit_status == 0
    word, style = ("finished", "bold green") if good else ("no trial finished", "bold red")
    if good and result.already_finished:
        word, took = "finished already", f"nothing was run; {anew}"
    total = len(result.trials)
    told = f"  {total} trial{'s' * (total != 1)}: {counts}; {took}"
    return Text.assemble((f"{word}: ", style), (result.run, "bold"), told)


def _states(result: Sweep) -> list[str]:
    return [row.state for row in result.trials]


def failures(result: Sweep) -> Iterator[tuple[str, str]]:
    """State and reason of trials that came to nothing; those alike are told once."""
    groups: dict[tuple[str, str], list[TrialRow]] = {}
    for row in result.trials:
        if row.state in ("failed", "refused"):
            groups.setdefault((row.state, _NUMBER.sub("#", row.error)), []).append(row)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    for (state, _), rows in ordered[:MOST_REASONS]:
        first = rows[0]
        numbers = ", ".join(str(row.number) for row in rows[:6]) + ", ..." * (len(rows) > 6)
        which = f"trial {numbers}" if len(rows) == 1 else f"{len(rows)} trials ({numbers})"
        values = in_words(first.assignment, short_names(first.assignment))
        yield state, f"{which}: {first.error} ({values})"
    left = sum(len(rows) for _, rows in ordered[MOST_REASONS:])
    if left:
        yield "and", f"{left} more for other reasons; trials.csv has all"


def best_table(result: Sweep, console: Console, most: int = MOST_SHOWN) -> RenderableType:
    """The best trials with their values; of several goals the Pareto front.

    A column for each parameter where there is room, otherwise all values in words.
    """
    rows = {row.number: row for row in result.trials}
    best = [rows[number] for number in result.best[:most]]
    names = short_names(dict.fromkeys(name for row in best for name in row.assignment))
    table = _table(result, best, [Text(short) for short in names.values()])
    for row in best:
        values = [cell(row.assignment[n]) if n in row.assignment else "" for n in names]
        table.add_row(*_beginning(row, result), *map(Text, values))
    wide = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    if wide <= console.width:
        return table
    table = _table(result, best, [Text("values")])
    for row in best:
        table.add_row(*_beginning(row, result), Text(in_words(row.assignment, names)))
    return table


def _table(result: Sweep, best: Sequence[TrialRow], columns: Sequence[Text]) -> Table:
    left = len(result.best) - len(best)
    more = f"and {left} more, see trials.csv" if left else None
    title = "Pareto front" if len(result.goals) > 1 else None
    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left"
    )
    table.caption, table.caption_justify = more, "left"
    table.add_column("trial", justify="right")
    for name, goal in result.goals.items():
        table.add_column(Text(f"{name} {'↑' if goal == 'max' else '↓'}"), justify="right")
    for column in columns:
        table.add_column(column)
    return table


def _beginning(row: TrialRow, result: Sweep) -> list[str]:
    values = [number(row.values[n]) if n in row.values else "" for n in result.goals]
    return [str(row.number), *values]
