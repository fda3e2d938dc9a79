"""``trainwright evaluate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson, Storage, TrustRunCode, Weights
from trainwright.cli.reporting import reporting


def evaluate(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's name, or the beginning of it.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Other samples: a file, URL or dataset; default: the job's own."
        ),
    ] = None,
    checkpoint: Weights = None,
    trust_run_code: TrustRunCode = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Measure a trained run again, on its held-out samples or on others.

    In this process, in float32, with the objective and the metrics of its job.

    Examples:
    $ trainwright evaluate quickstart
    $ trainwright evaluate quickstart --data s3://bucket/new.parquet --checkpoint last
    """
    with reporting(as_json) as report:
        from trainwright import api
        from trainwright.cli.words import importance, number

        done = api.evaluate(
            run, storage=storage, data=data, checkpoint=checkpoint, trust_run_code=trust_run_code
        )
        report.answer = {"status": "evaluated", **asdict(done)}
        report.out.print(
            Text.assemble(("evaluated ", "bold green"), f"{done.run}, step {done.step}"),
            soft_wrap=True,
        )
        for name in sorted(done.metrics, key=importance):
            report.out.print(Text(f"  {name} {number(done.metrics[name])}"), soft_wrap=True)
        for split, size in done.num_samples.items():
            report.out.print(Text(f"  {size} samples of {split}"), soft_wrap=True)
        for remark in done.remarks:
            report.remark(remark)
