"""What the data says about the sizes of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainwright.data.table import Column, Table
from trainwright.errors import DataError, Problem
from trainwright.suggest import nearest, one_of


def target_column(columns: Mapping[str, Column]) -> str | None:
    """The column to predict: the one named ``target``, else the only class or only value column."""
    if "target" in columns:
        return "target"
    for kind in ("class", "value"):
        found = [name for name, column in columns.items() if column.kind == kind]
        if len(found) == 1:
            return found[0]
    return None


def input_column(columns: Mapping[str, Column]) -> str | None:
    """The column a model reads, if it is clear; else None.

    The only image, vector or tokens besides the target; without any, the only class or value.
    """
    target = target_column(columns)
    for kinds in (("image", "vector", "tokens"), ("class", "value")):
        found = [name for name, c in columns.items() if c.kind in kinds and name != target]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def data_facts(data: Table | Mapping[str, Column], inputs: Mapping[str, str]) -> dict[str, Any]:
    """The model options that follow from the data.

    Args:
        data: a table, or better its columns after the transforms (``Splits.columns``).
        inputs: argument of the model's forward -> column, as far as the job names them. The first
            one counts; without any it is :func:`input_column`.

    Returns:
        As far as known: ``in_features`` (elements of one sample of the input), ``in_channels`` and
        ``image_size`` (an image; a number when square, else (height, width)),
        ``vocabulary_size`` and ``sequence_length`` (tokens), ``num_classes`` (a class or tokens
        target), ``out_features`` (classes, or numbers to predict), ``out_channels`` (a target
        with a value for each pixel), ``target_kind``.

    Raises:
        DataError: a column in ``inputs`` does not exist.
    """
    columns = data.columns if isinstance(data, Table) else data
    _check_inputs(columns, inputs)
    read = next(iter(inputs.values()), None) or input_column(columns)
    target = target_column(columns)
    return {
        **(_input_facts(columns[read]) if read else {}),
        **(_target_facts(columns[target]) if target else {}),
    }


def _check_inputs(columns: Mapping[str, Column], inputs: Mapping[str, str]) -> None:
    problems = [
        Problem(
            path=f"model.inputs.{argument}",
            message="there is no such column in the data",
            got=name,
            allowed=one_of(columns),
            nearest=nearest(name, columns),
        )
        for argument, name in inputs.items()
        if name not in columns
    ]
    if problems:
        raise DataError(problems)


def _input_facts(column: Column) -> dict[str, Any]:
    facts: dict[str, Any] = {"in_features": math.prod(column.shape)}
    if column.kind == "image":
        channels, height, width = column.shape
        facts["in_channels"] = channels
        facts["image_size"] = height if height == width else (height, width)
    if column.kind == "tokens":
        facts["vocabulary_size"] = column.num_classes
        facts["sequence_length"] = column.shape[0]
    return facts


def _target_facts(column: Column) -> dict[str, Any]:
    facts: dict[str, Any] = {"target_kind": column.kind}
    if column.num_classes is not None:
        facts["num_classes"] = column.num_classes
        facts["out_features"] = column.num_classes
    else:
        facts["out_features"] = math.prod(column.shape)
    channels = _channels(column)
    return facts if channels is None else {**facts, "out_channels": channels}


def _channels(column: Column) -> int | None:
    """What a model of images has to say about each pixel; None for a target without pixels."""
    if column.kind == "image":
        return column.shape[0]
    if len(column.shape) != 2:
        return None
    return {"class": column.num_classes, "mask": 1}.get(column.kind)
