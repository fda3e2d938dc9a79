"""``trainwright predict``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson, Storage, TrustRunCode, Weights
from trainwright.cli.reporting import reporting


def predict(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's name, or the beginning of it.")
    ],
    data: Annotated[str, typer.Option(metavar="URL", help="The samples: a file, URL or dataset.")],
    out: Annotated[str, typer.Option(metavar="URL", help="The parquet file to write.")],
    checkpoint: Weights = None,
    trust_run_code: TrustRunCode = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Write a trained run's outputs for other samples.

    They need the columns that the model reads; targets may be missing.

    Examples:
    $ trainwright predict quickstart --data new.parquet --out predictions.parquet
    """
    with reporting(as_json) as report:
        from trainwright import api
        from trainwright.overview import shown

        done = api.predict(
            run,
            storage=storage,
            data=data,
            out=out,
            checkpoint=checkpoint,
            trust_run_code=trust_run_code,
        )
        report.answer = {"status": "predicted", **asdict(done)}
        said = f"{done.num_samples} samples by {done.run}, step {done.step}, to:"
        report.out.print(Text.assemble(("predicted ", "bold green"), said), soft_wrap=True)
        report.out.print(Text(f"  {shown(done.file)}"), soft_wrap=True)
        report.out.print(Text(f"  columns: {', '.join(done.columns)}"), soft_wrap=True)
        for remark in done.remarks:
            report.remark(remark)
