"""``trainwright export``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from trainwright.cli.options import DEFAULT_STORAGE, AsJson, Storage, TrustRunCode, Weights
from trainwright.cli.reporting import reporting


def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's name, or the beginning of it.")
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where to write; default: export/ in the run's folder."),
    ] = None,
    checkpoint: Weights = None,
    trust_run_code: TrustRunCode = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Write a run's weights as safetensors.

    The names in the file are those of the model's state dict.

    Examples:
    $ trainwright export quickstart-3f2a91c0
    $ trainwright export quickstart --checkpoint last --to weights/
    """
    with reporting(as_json) as report:
        from trainwright import api
        from trainwright.overview import shown

        done = api.export(
            run, storage=storage, to=to, checkpoint=checkpoint, trust_run_code=trust_run_code
        )
        report.answer = {"status": "exported", **asdict(done)}
        report.out.print(
            Text.assemble(("exported ", "bold green"), f"{done.run}, step {done.step}, to:"),
            soft_wrap=True,
        )
        for name in done.files:
            report.out.print(Text(f"  {shown(done.folder)}/{name}"), soft_wrap=True)
        for remark in done.remarks:
            report.remark(remark)
