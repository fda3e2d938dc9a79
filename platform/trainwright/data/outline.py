"""What a table holds, without its samples: enough to build the model of a run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from trainwright.data.rows import Rows
from trainwright.data.table import Column, Table

ROWS = 16


class Outline(Table):
    """A table that stands for one whose samples are elsewhere: same columns, same length.

    It holds a few invented samples with values that its columns allow.

    Args:
        columns: of the table it stands for.
        num_samples: its length.
    """

    def __init__(self, columns: Mapping[str, Column], num_samples: int) -> None:
        super().__init__(columns, {name: _invented(c) for name, c in columns.items()})
        self._num_samples = num_samples

    def __len__(self) -> int:
        return self._num_samples

    @property
    def sample(self) -> Table:
        """The invented samples."""
        return Table(self.columns, self.tensors)


def to_plain(table: Rows) -> dict[str, Any]:
    """The outline of a table as plain values."""
    columns = {
        name: {**asdict(column), "dtype": str(column.dtype).removeprefix("torch.")}
        for name, column in table.columns.items()
    }
    return {"columns": columns, "num_samples": len(table)}


def from_plain(value: Mapping[str, Any]) -> Outline:
    """Take back ``to_plain``."""
    columns = {name: _column(fields) for name, fields in value["columns"].items()}
    return Outline(columns, value["num_samples"])


def _column(fields: Mapping[str, Any]) -> Column:
    labels = fields["labels"]
    return Column(
        **{
            **fields,
            "shape": tuple(fields["shape"]),
            "dtype": getattr(torch, fields["dtype"]),
            "labels": None if labels is None else tuple(labels),
        }
    )


def _invented(column: Column) -> torch.Tensor:
    shape = (ROWS, *column.shape)
    generator = torch.Generator().manual_seed(0)
    if column.dtype.is_floating_point:
        return torch.rand(shape, generator=generator).to(column.dtype)
    if column.dtype == torch.bool:
        return torch.ones(shape, dtype=torch.bool)
    if column.num_classes is None:
        return torch.arange(ROWS).reshape(-1, *(1 for _ in column.shape)).expand(shape).clone()
    return torch.randint(0, column.num_classes, shape, generator=generator).to(column.dtype)
