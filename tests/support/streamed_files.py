"""Files of row groups, and how they are streamed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainwright.data.files.loading import load_table
from trainwright.data.files.location import find_files
from trainwright.data.streaming.table import StreamedTable
from trainwright.data.table import Table
from trainwright.job.models import ColumnSpec
from trainwright.job.streaming_spec import StreamingSpec

COLUMNS: dict[str, Any] = {
    "features": {"type": "vector", "from": ["a", "b", "c"]},
    "image": {"type": "image", "shape": [1, 2, 3]},
    "words": {"type": "tokens", "length": 4, "classes": 50},
    "target": {"type": "class", "from": "label", "classes": ["cat", "dog", "owl"]},
    "weight": {"type": "value"},
}


def arrow_table(start: int, stop: int) -> pa.Table:
    """Rows whose values tell their number."""
    rows = np.arange(start, stop)
    return pa.table(
        {
            "a": rows.astype(np.float32),
            "b": rows * 2,
            "c": rows * 0.5,
            "image": [[row % 251] * 6 for row in rows.tolist()],
            "words": [[row % 50] * (1 + row % 6) for row in rows.tolist()],
            "label": pa.array([("cat", "dog", "owl")[row % 3] for row in rows.tolist()]),
            "weight": rows.astype(np.float64),
        },
        schema=pa.schema(
            {
                "a": pa.float32(),
                "b": pa.int64(),
                "c": pa.float64(),
                "image": pa.list_(pa.uint8()),
                "words": pa.list_(pa.int32()),
                "label": pa.string(),
                "weight": pa.float64(),
            }
        ),
    )


def write_files(
    folder: Path, files: Sequence[Sequence[int]], ending: str = "parquet", name: str = "part"
) -> Path:
    """A file for each of ``files``, with row groups (or record batches) of these sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for number, sizes in enumerate(files):
        path = str(folder / f"{name}-{number}.{ending}")
        schema = arrow_table(0, 0).schema
        if ending == "parquet":
            with pq.ParquetWriter(path, schema) as writer:
                for size in sizes:
                    writer.write_table(arrow_table(start, start + size), row_group_size=size)
                    start += size
        else:
            with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, schema) as batches:
                for size in sizes:
                    batches.write_table(arrow_table(start, start + size), max_chunksize=size)
                    start += size
    return folder


def specs(columns: dict[str, Any]) -> dict[str, ColumnSpec]:
    return {name: ColumnSpec.model_validate(spec) for name, spec in columns.items()}


def streamed(
    folder: Path | str, columns: dict[str, Any] = COLUMNS, like: Any = None, **options: Any
) -> StreamedTable:
    files = find_files(f"{folder}/", "auto", Path(), "data.source")
    spec = StreamingSpec.model_validate(options)
    return StreamedTable.open(files, specs(columns), "data.source", spec, like)


def in_memory(folder: Path, columns: dict[str, Any] = COLUMNS) -> Table:
    files = find_files(f"{folder}/", "auto", Path(), "data.source")
    return load_table(files, specs(columns), "data.source")
