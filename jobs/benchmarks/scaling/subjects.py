"""The models whose scaling is measured: what a job says of each, and its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from trainwright.data.table import Column, Table

VOCABULARY = 256
LENGTH = 64


@dataclass(frozen=True)
class Subject:
    """One model and what it is trained on.

    Attributes:
        model: the section of a job.
        source: of the data set, without its size.
        input: the column that the model takes; it learns the column ``target``.
        batch_size: samples of an update of one worker.
        block: updates in one turn of one worker, about a tenth of a second.
    """

    model: dict[str, Any]
    source: dict[str, Any]
    input: str
    batch_size: int
    block: int


def random_tokens(
    num_samples: int, length: int = LENGTH, vocabulary: int = VOCABULARY, seed: int = 0
) -> Table:
    """Sequences of random tokens; each target is the token that follows.

    Args:
        num_samples: sequences.
        length: tokens of each.
        vocabulary: different tokens.
        seed: of the numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    stream = torch.randint(vocabulary, (num_samples, length + 1), generator=generator)
    column = Column("tokens", (length,), torch.int64, vocabulary)
    tensors = {"tokens": stream[:, :-1].contiguous(), "target": stream[:, 1:].contiguous()}
    return Table({"tokens": column, "target": column}, tensors)


SUBJECTS = {
    "mlp": Subject(
        model={"name": "mlp", "hidden": [512, 512]},
        source={"name": "synthetic_classification", "num_features": 64, "num_classes": 10},
        input="features",
        batch_size=64,
        block=16,
    ),
    "convnet": Subject(
        model={"name": "convnet", "width": 16},
        source={"name": "synthetic_images", "image_size": 32, "channels": 3},
        input="image",
        batch_size=64,
        block=4,
    ),
    "gpt": Subject(
        model={"name": "gpt", "dim": 128, "depth": 4, "heads": 4},
        source={"name": "scaling.subjects:random_tokens"},
        input="tokens",
        batch_size=16,
        block=2,
    ),
}
