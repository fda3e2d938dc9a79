"""Outputs of the model, and columns of the data, by the names that a strategy's options give."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trainwright.strategy import Batch, Outputs


def output_of(outputs: Outputs, name: str) -> Tensor:
    """The output ``name``.

    Raises:
        ValueError: the model gives no such output.
    """
    if name not in outputs:
        raise ValueError(f"the model has no output {name!r}; it gives {', '.join(outputs)}")
    return outputs[name]


def column_of(batch: Batch, name: str) -> Tensor:
    """The column ``name``.

    Raises:
        ValueError: the data has no such column.
    """
    if name not in batch:
        raise ValueError(f"the data has no column {name!r}; it has {', '.join(batch)}")
    return batch[name]


def unit_output_of(outputs: Outputs, name: str) -> Tensor:
    """The output ``name`` of shape (B, D) in float32, its rows scaled to length 1."""
    return functional.normalize(output_of(outputs, name).float(), dim=1)
