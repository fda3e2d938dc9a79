"""The parquet files of the benchmark of data, and their rows as tensors.

Nothing here imports Trainwright.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from data.work import FEATURES, FILES, Arrays, Batch

NAMES = [f"x{number}" for number in range(FEATURES)]


def write_files(arrays: Arrays, layout: str, folder: Path) -> None:
    """Write the samples into files.

    Args:
        arrays: vectors.
        layout: ``columns``, one for each feature, or ``lists``, one of lists.
        folder: for the files.
    """
    folder.mkdir()
    for number, rows in enumerate(np.array_split(arrays.id, FILES)):
        x = arrays.x[rows]
        columns: dict[str, Any] = {"x": pa.FixedSizeListArray.from_arrays(x.ravel(), FEATURES)}
        if layout == "columns":
            columns = dict(zip(NAMES, x.T, strict=True))
        columns["target"] = arrays.target[rows, 0]
        pq.write_table(pa.table(columns), folder / f"part-{number}.parquet")


def use_all_cpus() -> None:
    """Let Arrow's pool have a thread for each CPU; the environment of a worker allows it one."""
    pa.set_cpu_count(len(os.sched_getaffinity(0)))


def files_of(folder: Path) -> list[str]:
    """The files, in their order."""
    return sorted(map(str, folder.glob("part-*.parquet")))


def feature_names(folder: Path) -> list[str]:
    """The columns of the features."""
    return [name for name in pq.read_schema(files_of(folder)[0]).names if name != "target"]


def tensors_of(rows: pa.RecordBatch | pa.Table) -> Batch:
    """Rows of the files as tensors, in the fastest way that was found."""
    arrays = {name: _array(rows.column(name)) for name in rows.column_names}
    target = arrays.pop("target").to_numpy(zero_copy_only=False)
    if list(arrays) == ["x"]:
        x = arrays["x"].flatten().to_numpy().reshape(-1, FEATURES).copy()
    else:
        # Turned by numpy: quicker than columns that are put side by side one by one.
        x = np.ascontiguousarray(np.stack([a.to_numpy() for a in arrays.values()]).T)
    return {"x": torch.from_numpy(x), "target": torch.from_numpy(target.copy())}


def _array(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
