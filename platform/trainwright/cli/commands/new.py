"""``trainwright new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from trainwright.cli.options import AsJson
from trainwright.cli.reporting import reporting
from trainwright.cli.words import command


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="objective or strategy")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the plugin, in snake case: focal_loss.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where to write.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Start a plugin: a working file, its test, its comparison.

    Examples:
    $ trainwright new objective focal_loss
    $ trainwright new strategy lookahead --to methods
    """
    with reporting(as_json) as report:
        from trainwright.scaffold import start

        started = start(kind, name, to)
        files = (started.plugin, started.test, started.job)
        report.answer = {
            "status": "started",
            "plugin": f"{started.plugin}:{started.class_name}",
            "files": [str(path) for path in files],
        }
        report.out.print(Text.assemble(("started ", "bold green"), started.class_name))
        for path, what in zip(files, ("write it here", "its test", "does it help?"), strict=True):
            report.out.print(Text.assemble(f"  {path}  ", (what, "dim")), soft_wrap=True)
        report.out.print(Text("next:"))
        folder = started.test.parent
        tests = f"  python -m pytest {started.test.name}"
        where = "" if folder == Path() else f"  cd {folder}"
        for line in (where, tests, f"  {command('trainwright', 'run', started.job.name)}"):
            if line:
                report.out.print(Text(line), soft_wrap=True)
