"""Files with given columns, and how they are read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainwright.data import Table
from trainwright.data.files.loading import load_table
from trainwright.data.files.location import find_files
from trainwright.errors import DataError, Problem
from trainwright.job.models import ColumnSpec

LISTS = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 2), dtype=np.uint8)


def specs(columns: dict[str, Any]) -> dict[str, ColumnSpec]:
    return {name: ColumnSpec.model_validate(spec) for name, spec in columns.items()}


def load(folder: Path, columns: dict[str, Any], like: Table | None = None) -> Table:
    files = find_files("./", "auto", folder, "data.source")
    return load_table(files, specs(columns), "data.source", like)


def save(table: pa.Table, folder: Path, ending: str = "parquet", name: str = "part") -> Path:
    path = folder / f"{name}.{ending}"
    if ending == "csv":
        pyarrow.csv.write_csv(table, path)
    elif ending == "stream.arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif ending == "parquet":
        pq.write_table(table, path, row_group_size=4)
    else:
        pyarrow.feather.write_feather(table, path)
    return path


def read(folder: Path, data: dict[str, Any], column: dict[str, Any]) -> Table:
    save(pa.table(data), folder)
    return load(folder, {"c": column})


def refused(folder: Path, data: dict[str, Any], column: dict[str, Any]) -> Problem:
    with pytest.raises(DataError) as caught:
        read(folder, data, column)
    (problem,) = caught.value.problems
    assert problem.path.startswith("data.columns.c")
    return problem


def np_half() -> pa.Array:
    return pa.array([np.array(row, np.float16) for row in LISTS], pa.list_(pa.float16()))


def encoded(kind: str, mode: str = "RGB") -> list[bytes]:
    files = []
    for image in PIXELS:
        sink = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).convert(mode).save(sink, kind)
        files.append(sink.getvalue())
    return files
