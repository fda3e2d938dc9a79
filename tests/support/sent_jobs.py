"""Jobs that are sent to a cluster: a small one, the command line, and what runs leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import Result
from driving import write_job
from ray_heads import TOKEN
from typer.testing import CliRunner

from trainwright.cli.main import app
from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage

LONG = 100_000
"""Epochs that no test waits for."""


def small_job(folder: Path, **changes: Any) -> Path:
    """A job file that trains for a second on the digits, without Ray; keys may have dots."""
    values = {
        "name": "digits",
        "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "training.epochs": 2,
        "cluster.workers": 0,
        "tracking.enabled": False,
        **changes,
    }
    return write_job(folder, values)


def trainwright(url: str, *arguments: str | Path) -> Result:
    """A call of the command line; it may not say the token or show a traceback."""
    said = CliRunner().invoke(app, [*map(str, arguments), "--to", url])
    assert TOKEN not in said.output
    assert "Traceback" not in said.output
    return said


def is_training(storage: Path) -> bool:
    """Whether a first checkpoint is there."""
    return any(storage.glob("*/checkpoints/*/manifest.json"))


def began_at(run: Path) -> int:
    """The step of the first attempt at which the second one went on."""
    attempts = [row for row in read_lineage(Folder(str(run))) if row["kind"] == "attempt"]
    assert [row["attempt"] for row in attempts] == [1, 2]
    ((number, step),) = attempts[-1]["lineage"]
    assert number == 1
    return int(step)
