"""``trainwright schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trainwright.cli.reporting import reporting


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="That of the profiles of `submit --to k8s`.")
    ] = False,
) -> None:
    """Print the JSON Schema of job files, or of profiles, for editors.

    Examples:
    $ trainwright schema --output job.schema.json
    # then, as the first line of a job file:
    # yaml-language-server: $schema=job.schema.json
    $ trainwright schema --profile --output profile.schema.json
    """
    with reporting() as report:
        text = json.dumps(_form(profile), indent=2, ensure_ascii=False) + "\n"
        if output is None:
            report.out.file.write(text)
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf-8")


def _form(profile: bool) -> dict[str, Any]:
    if profile:
        from trainwright.submission.profile.schema import profile_schema

        return profile_schema()
    from trainwright.job.schema import job_schema

    return job_schema()
