"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JobFile = Annotated[Path, typer.Argument(metavar="JOB", help="A job file (YAML).")]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        "-s",
        metavar="PATH=VALUE",
        help="Change a value of the job, by its dotted path. Can be given several times.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
Storage = Annotated[
    str, typer.Option("--storage", metavar="URL", help="Folder or fsspec URL that holds the runs.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="best|last|STEP",
        help="Which weights; default: best if the job monitors a metric, otherwise last.",
    ),
]
TrustRunCode = Annotated[
    bool,
    typer.Option(
        "--trust-run-code",
        help="Run the plugin files and import paths that come with the run, though you did not "
        "run them on this machine before. Remembered.",
    ),
]
DEFAULT_STORAGE = "runs"
