"""``trainwright sync``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson, Storage
from trainwright.cli.reporting import Report, reporting

if TYPE_CHECKING:
    from trainwright.tracking import SyncReport


def sync(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's name; all runs when left out.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    uri: Annotated[
        str | None,
        typer.Option(metavar="URI", help="MLflow tracking URI; default: the one the run used."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send to MLflow what it lacks of runs; nothing is sent twice.

    Examples:
    $ trainwright sync
    $ trainwright sync quickstart-3f2a91c0
    $ trainwright sync --uri http://mlflow.example:5000

    Exit status: 0 MLflow has everything, 1 something is left, 2 bad input.
    """
    with reporting(as_json) as report:
        from trainwright import api

        with _waiting(report) as show:
            done = api.sync(run, storage=storage, uri=uri, progress=show)
        complete = all(one.error is None for one in done.values())
        report.answer = {
            "status": "complete" if complete else "behind",
            "runs": {name: asdict(one) for name, one in done.items()},
        }
        if not done:
            report.err.print(Text("there is no run to send"))
        for name, one in done.items():
            _say(report, name, one)
        if not complete:
            raise typer.Exit(1)


def _say(report: Report, name: str, one: SyncReport) -> None:
    if one.error is None:
        report.out.print(Text(f"{name}: MLflow has everything ({one.sent:,} rows sent now)"))
        return
    left = f"{one.left:,} rows left; " if one.left else ""
    report.error(f"{left}{one.error}", name)


@contextlib.contextmanager
def _waiting(report: Report) -> Iterator[Callable[[str, int], None] | None]:
    if not report.err.is_terminal:
        yield None
        return
    with report.err.status("asking MLflow") as status:
        yield lambda name, sent: status.update(f"{name}: {sent:,} rows sent")
