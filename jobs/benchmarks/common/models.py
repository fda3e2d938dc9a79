"""The models that training loops are measured with, their data and their jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from common.text import VOCABULARY
from trainwright.job.models import TrainJob

LEARNING_RATE = 1e-3
MAX_GRAD_NORM = 1.0
UPDATES_PER_EPOCH = 100
LENGTH = 64


@dataclass(frozen=True)
class Model:
    """A model, and what it is trained on.

    Attributes:
        model: name and options.
        derived: options that a job finds in the data.
        source: name and options of the data set, but for the number of samples.
        input: the column that the model reads; it learns the column ``target``.
        batch_size: samples of an update over all workers.
        goal: what our time over that of a bare loop shall not exceed.
        objective: of our side.
        loss: the same by hand, of logits and target.
        tokens: that a sample counts for, where one counts in tokens.
    """

    model: dict[str, Any]
    derived: dict[str, int]
    source: dict[str, Any]
    input: str
    batch_size: int
    goal: float
    objective: str = "cross_entropy"
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy
    tokens: int | None = None


def next_token_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over all tokens."""
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten())


MODELS: dict[str, Model] = {
    "convnet": Model(
        {"name": "convnet", "width": 16},
        {"in_channels": 3, "out_features": 10},
        {"name": "synthetic_images", "image_size": 32, "channels": 3},
        "image",
        batch_size=64,
        goal=1.02,
    ),
    "gpt": Model(
        {"name": "gpt", "dim": 96, "depth": 3, "heads": 4},
        {"vocabulary_size": VOCABULARY, "sequence_length": LENGTH},
        {"name": "common.text:text", "length": LENGTH},
        "tokens",
        batch_size=16,
        goal=1.02,
        objective="causal_lm",
        loss=next_token_loss,
        tokens=LENGTH,
    ),
    "mlp": Model(
        {"name": "mlp", "hidden": [512, 512]},
        {"in_features": 64, "out_features": 10},
        {"name": "synthetic_classification", "num_features": 64, "num_classes": 10},
        "features",
        batch_size=64,
        goal=1.05,
    ),
}


def source_of(name: str, batch_size: int) -> dict[str, Any]:
    """The data set of a model, of a hundred updates in an epoch."""
    return {**MODELS[name].source, "num_samples": UPDATES_PER_EPOCH * batch_size}


def job_of(
    name: str,
    batch_size: int,
    steps: int,
    block: int,
    workers: int,
    side: str = "ours",
    **sections: Any,
) -> TrainJob:
    """The job that trains a model and hands over after every block of updates.

    Args:
        name: of the model.
        batch_size: samples of an update over all workers.
        steps: updates in all.
        block: updates in a turn.
        workers: processes; 0 trains with the local engine.
        side: under which it takes its turns.
        **sections: further ones.
    """
    return TrainJob.model_validate(
        {
            "name": f"benchmark-{name}",
            "data": {"source": source_of(name, batch_size), "batch_size": batch_size},
            "model": MODELS[name].model,
            "objective": MODELS[name].objective,
            "strategies": [{"name": "common.turns:Turns", "block": block, "side": side}],
            "optimizer": {"name": "adamw", "lr": LEARNING_RATE},
            "schedule": "cosine",
            "training": {
                "steps": steps,
                "checkpoint_every": f"{steps} steps",
                "max_grad_norm": MAX_GRAD_NORM,
            },
            "cluster": {"workers": workers},
            **sections,
        }
    )
