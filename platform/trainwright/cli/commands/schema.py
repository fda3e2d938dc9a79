"""``trainwright schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.reporting import reporting


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file.")
    ] = None,
) -> None:
    """Print the JSON Schema of job files, for editors.

    Examples:
    $ trainwright schema --output job.schema.json
    # then, as the first line of a job file:
    # yaml-language-server: $schema=job.schema.json
    """
    with reporting() as report:
        from trainwright.job.schema import job_schema

        text = json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n"
        if output is None:
            report.out.file.write(text)
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf-8")
