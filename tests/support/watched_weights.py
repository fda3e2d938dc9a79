"""A probe that keeps the weights after every update, to compute averages by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import trainwright
from trainwright.strategy import Declares, Step, Strategy

SEEN: list[dict[str, torch.Tensor]] = []
"""The initial weights of the last run in this process, and those after each update."""


class Watch(Strategy):
    """Keeps every set of weights in this process."""

    declares = Declares(probe=True)

    def step(self, step: Step, take: Callable[[], None]) -> None:
        if step.index == 0:
            SEEN[:] = [step.master()]
        take()

    def updated(self, step: Step) -> None:
        SEEN.append(step.master())


def averaging_job(folder: Path, strategy: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A small job with batch normalisation whose weights are watched."""
    return {
        "name": "averaging",
        "data": {"source": "digits", "batch_size": 256, "validation": 0.3},
        "model": {"name": "convnet", "width": 2, "dropout": 0.0},
        "objective": "cross_entropy",
        "strategies": [{"name": "watched_weights.Watch"}, strategy],
        "optimizer": {"name": "sgd", "lr": 0.1},
        "training": {"epochs": 3, "checkpoint_every": "5 steps"},
        "metrics": ["accuracy"],
        "cluster": {"workers": 0},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
        **changes,
    }


def exported(result: trainwright.RunResult) -> dict[str, torch.Tensor]:
    """The weights that a run has exported."""
    from safetensors.torch import load_file

    folder = Path(result.storage.removeprefix("file://"))
    return load_file(folder / "export" / "model.safetensors")


def outputs_of(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Outputs of the job's model with given weights, in evaluation mode."""
    from trainwright.models.convnet import ConvNet

    model = ConvNet(in_channels=1, out_features=10, width=2, dropout=0.0)
    model.load_state_dict(weights)
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(x)["logits"]
    return logits


def held_out(job: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and classes of the validation split."""
    table = splits_of(job).validation
    return table.take(torch.arange(len(table)))["image"], table.tensors["target"]


def splits_of(job: dict[str, Any]) -> Any:
    """The data of the job."""
    from trainwright.data.loading import load_splits
    from trainwright.job import Job

    loaded = Job.from_dict(job)
    return load_splits(loaded.spec.data, base=Path(), workers=0, seed=loaded.spec.seed)
