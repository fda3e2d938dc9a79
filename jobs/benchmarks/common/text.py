"""Text for the language model: the licence's bytes, again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from trainwright.data.table import Column, Table

VOCABULARY = 256
_TEXT = Path(__file__).resolve().parents[3] / "LICENSE"


def text(num_samples: int, length: int) -> Table:
    """Byte sequences of equal length, packed one after the other.

    Args:
        num_samples: sequences.
        length: tokens of each; its targets are the tokens that follow.
    """
    size = num_samples * length + 1
    stream = torch.from_numpy(np.resize(np.frombuffer(_TEXT.read_bytes(), np.uint8), size)).long()
    columns = {
        name: Column("tokens", (length,), torch.int64, VOCABULARY) for name in ("tokens", "target")
    }
    parts = {"tokens": stream[:-1], "target": stream[1:]}
    return Table(columns, {name: part.reshape(num_samples, length) for name, part in parts.items()})
