"""``trainwright run``."""

from __future__ import annotations

from typing import Annotated

import typer

from trainwright.cli.options import AsJson, JobFile, Overrides
from trainwright.cli.reporting import reporting


def run(
    job: JobFile,
    overrides: Overrides = [],  # noqa: B006
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; an earlier run of the same job is kept.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Continue from another run, under this changed job."),
    ] = None,
    placebo: Annotated[
        bool,
        typer.Option(
            "--placebo",
            help="Of a comparison: put the baseline in the method's place; "
            "an expectation must then fail.",
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Run a job, continue it, or say that it is finished.

    A run is found again by its name: the job's label and a hash of all that
    determines its numbers. Ctrl-C writes a checkpoint and stops; the same
    command goes on from there.

    Examples:
    $ trainwright run job.yaml
    $ trainwright run job.yaml -s optimizer.lr=0.003 -s training.epochs=5
    $ trainwright run job.yaml -s cluster.workers=0 --json > result.json
    $ trainwright run longer.yaml --resume quickstart-3f2a91c0

    Exit status: 0 finished, 1 the run failed, 2 bad input, 130 interrupted.
    """
    with reporting(as_json) as report:
        from trainwright.cli.running import Call
        from trainwright.orchestration.request import Request

        request = Request(fresh=fresh, resume=resume, placebo=placebo)
        Call(report, job, overrides, request, quiet).run()
