"""``trainwright diff``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson, Storage
from trainwright.cli.reporting import Report, reporting
from trainwright.cli.words import importance, number

if TYPE_CHECKING:
    from trainwright.differing import Difference, RunDiff


def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or its beginning.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another one's.")],
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show what sets two runs apart: jobs, plugin files, results.

    Examples:
    $ trainwright diff quickstart-355c0e98 quickstart-9d01
    """
    with reporting(as_json) as report:
        from trainwright import api

        found = api.diff(first, second, storage=storage)
        report.answer = {"status": "compared", **found.to_json()}
        if not as_json:
            _say(report, found)


def _say(report: Report, found: RunDiff) -> None:
    results = sorted(found.results, key=lambda d: ("/" in d.name, importance(d.name)))
    parts = (("job", found.job), ("plugin files", found.files), ("results", results))
    if not any(differences for _, differences in parts):
        report.out.print(Text(f"{found.first} and {found.second} are alike in all that they keep"))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", found.first, found.second):
        table.add_column(heading, overflow="fold")
    for title, differences in parts:
        _rows(table, title, differences)
    report.out.print(table)


def _rows(table: Table, title: str, differences: Sequence[Difference]) -> None:
    if differences:
        table.add_row(Text(title, style="dim"))
    for difference in differences:
        values = (_shown(difference.first), _shown(difference.second))
        table.add_row(Text(f"  {difference.name}"), *values)


def _shown(value: Any) -> Text:
    if value is None:
        return Text("-", style="dim")
    is_metric = isinstance(value, float)
    return Text(number(value) if is_metric else str(value))
