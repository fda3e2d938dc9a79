"""Samples that a run has not seen, read as its training data was."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from trainwright.data.outline import Outline
from trainwright.data.rows import Rows
from trainwright.data.source import load_source
from trainwright.data.table import SAMPLE_ID, Column, Table
from trainwright.job.models import ColumnSpec, DataSpec
from trainwright.orchestration.rebuilding import Rebuilt
from trainwright.training.assembly import Assembly

OPTION = "--data"

_TYPES = get_args(ColumnSpec.model_fields["type"].annotation)


def unseen(rebuilt: Rebuilt, source: str, columns: Collection[str] | None = None) -> Rows:
    """Samples of another source, with the columns of the run's training data.

    Args:
        rebuilt: the run.
        source: a path, a URL or a dataset plugin.
        columns: those that are needed; None for all.

    Raises:
        DataError: it cannot be read, or lacks a column or holds another kind of it.
        PluginError: there is no such dataset.
    """
    outline = rebuilt.outline.sample
    wanted = {
        name: column
        for name, column in outline.columns.items()
        if columns is None or name in columns or name == SAMPLE_ID
    }
    like = Table(wanted, {name: outline.tensors[name] for name in wanted})
    spec = rebuilt.job.data.model_copy(
        update={"columns": _declared(rebuilt.job.data, rebuilt.outline, wanted)}
    )
    return load_source(source, spec, Path.cwd(), OPTION, like=like).table


def needed_columns(rebuilt: Rebuilt) -> set[str]:
    """The columns without which the model gives no outputs: targets are not among them."""
    batch = dict(rebuilt.outline.sample.tensors)
    for name in rebuilt.outline.columns:
        without = {column: value for column, value in batch.items() if column != name}
        if name != SAMPLE_ID and _is_enough(rebuilt.assembly, without):
            batch = without
    return set(batch)


def _is_enough(assembly: Assembly, batch: Mapping[str, Tensor]) -> bool:
    """Whether the transforms make of a batch what the model reads."""
    try:
        left = assembly.splits.transforms(dict(batch), 0, training=False)
    except Exception:  # transforms are the user's code: however one fails, it lacks something
        return False
    return not assembly.module.model.binding.missing([], list(left))


def _declared(data: DataSpec, outline: Outline, wanted: Collection[str]) -> dict[str, ColumnSpec]:
    """How files hold the columns: as the job declares it, or as the run's own data was."""
    masks = {f"{name}_mask" for name, c in outline.columns.items() if c.kind == "tokens"}
    declared = data.columns or {
        name: _spec(column)
        for name, column in outline.columns.items()
        if column.kind in _TYPES and name not in masks
    }
    return {name: spec for name, spec in declared.items() if name in wanted}


def _spec(column: Column) -> ColumnSpec:
    values: dict[str, Any] = {"type": column.kind}
    if column.kind == "image":
        values["shape"] = list(column.shape)
    if column.kind == "class":
        values["classes"] = list(column.labels) if column.labels else column.num_classes
    if column.kind == "tokens" and column.shape:
        values["length"] = column.shape[0]
    return ColumnSpec.model_validate(values)
