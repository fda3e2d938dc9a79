"""Streamed batches against a bare scan with pyarrow and against Ray Data.

A table of 200,000 rows and 64 float32 columns in 8 parquet files is gone through once, in batches
of 256 as tensors, by one process. See README.md beside this file.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from common.children import environment_of
from common.pairs import Ratio, Side, interleave, ratio_of

from trainwright.data.files.location import find_files
from trainwright.data.order import split_updates
from trainwright.data.streaming.table import StreamedTable
from trainwright.job.models import ColumnSpec
from trainwright.job.streaming_spec import StreamingSpec
from trainwright.orchestration.machine import cpus_here
from trainwright.orchestration.processes import worker_environment

ROWS = 200_000
FILES = 8
FEATURES = 64
BATCH = 256
WARM_UP = 2
GOAL = 1 / 0.7
"""At least 70 % of the rows per second of a bare scan."""

RAY_GOAL = 0.1
"""At least ten times the rows per second of Ray Data."""


@dataclass(frozen=True)
class StreamingResult:
    """What came of one table.

    Attributes:
        table: its columns in words.
        scan: ratio of our seconds to those of a bare scan in batches of the same size.
        views: the same to one in as large batches as come, cut into views.
        ray: ratio of our seconds to those of Ray Data.
        ours: seconds for all rows.
        bare: seconds of the bare scan in batches of the same size.
        bare_views: seconds of the other.
        ray_s: seconds of Ray Data.
        rows: of the table.
        goal: what the ratio to the bare scan in batches of the same size shall not exceed.
        ray_goal: what the ratio to Ray Data shall not exceed.
    """

    table: str
    scan: Ratio
    views: Ratio
    ray: Ratio
    ours: Side
    bare: Side
    bare_views: Side
    ray_s: Side
    rows: int = ROWS
    goal: float = GOAL
    ray_goal: float = RAY_GOAL


def compare(layout: str, pairs: int, rows: int = ROWS) -> StreamingResult:
    """Time one table.

    Args:
        layout: a key of ``TABLES``.
        pairs: with each bare scan; with Ray Data there are a fifth of them.
        rows: of the table.
    """
    # A process of its own, with the environment of our workers, as in the benchmark of the loop.
    with environment_of(worker_environment(1, False)):
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        with pool:
            times = pool.submit(_measured, layout, pairs, rows).result()
    ours, bare, beside_views, views, beside_ray, ray_s = times
    return StreamingResult(
        layout,
        ratio_of(ours, bare),
        ratio_of(beside_views, views),
        ratio_of(beside_ray, ray_s),
        Side.of(ours),
        Side.of(bare),
        Side.of(views),
        Side.of(ray_s),
        rows,
    )


def _measured(layout: str, pairs: int, rows: int) -> tuple[list[float], ...]:
    torch.set_num_threads(1)
    # The environment of a worker allows Arrow's pool one thread; the scan shall have every CPU.
    pa.set_cpu_count(cpus_here())
    table = TABLES[layout]
    with tempfile.TemporaryDirectory() as folder:
        _write(table, Path(folder), rows)
        passes, opened, dataset = count(), _opened(table, folder), ds.dataset(folder)
        ours = partial(_timed, lambda: _ours(opened, next(passes)), rows)
        bare = partial(_timed, lambda: _bare(table, dataset), rows)
        views = partial(_timed, lambda: _views(table, dataset), rows)
        ray = partial(_timed, lambda: _ray(folder), rows)
        interleave(ours, bare, WARM_UP)
        beside_scan = interleave(ours, bare, pairs)
        interleave(ours, views, WARM_UP)
        beside_views = interleave(ours, views, pairs)
        with _ray_here():
            interleave(ours, ray, 1)
            beside_ray = interleave(ours, ray, max(pairs // 5, 1))
    return (*beside_scan, *beside_views, *beside_ray)


@dataclass(frozen=True)
class Table:
    """How a table's features are written, and read by each side."""

    source: str | list[str]
    columns: Callable[[np.ndarray], dict[str, Any]]
    joined: Callable[[pa.RecordBatch], torch.Tensor]


def _list_of(features: np.ndarray) -> dict[str, Any]:
    return {"x": pa.FixedSizeListArray.from_arrays(features.ravel(), FEATURES)}


NAMES = [f"x{index}" for index in range(FEATURES)]
TABLES = {
    "64 float columns, joined": Table(
        NAMES,
        lambda features: dict(zip(NAMES, features.T, strict=True)),
        # Turned by numpy, the fastest way that was found.
        lambda batch: torch.from_numpy(
            np.ascontiguousarray(np.stack([c.to_numpy() for c in batch.columns]).T)
        ),
    ),
    "one column of lists of 64": Table(
        "x",
        _list_of,
        lambda batch: torch.from_numpy(
            batch.column(0).flatten().to_numpy().reshape(-1, FEATURES).copy()
        ),
    ),
}


def _write(table: Table, folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(FILES):
        features = rng.standard_normal((rows // FILES, FEATURES), dtype=np.float32)
        pq.write_table(pa.table(table.columns(features)), folder / f"part-{number}.parquet")


def _timed(batches: Callable[[], Iterator[int]], rows: int) -> float:
    began = time.perf_counter()
    seen = sum(batches())
    seconds = time.perf_counter() - began
    if seen != rows:
        raise AssertionError(f"{seen} of {rows} rows")
    return seconds


def _opened(table: Table, folder: str) -> StreamedTable:
    specs = {"x": ColumnSpec.model_validate({"type": "vector", "from": table.source})}
    files = find_files(f"{folder}/", "auto", Path(), "data.source")
    return StreamedTable.open(files, specs, "data.source", StreamingSpec())


def _ours(rows: StreamedTable, epoch: int) -> Iterator[int]:
    """One epoch in its shuffled order; nothing that was read is kept from the one before."""
    order = rows.order(0, shuffle=True)
    with closing(rows.read_ahead(order, 0, 1, epoch + 1)) as ahead:
        for start, stop in split_updates(len(rows), BATCH, 1):
            yield len(ahead.take(epoch, start, stop)["x"])


def _bare(table: Table, dataset: ds.Dataset) -> Iterator[int]:
    """In the files' order; each batch is turned into a tensor of its own, as for training."""
    for batch in dataset.to_batches(batch_size=BATCH):
        yield len(table.joined(batch).contiguous())


def _views(table: Table, dataset: ds.Dataset) -> Iterator[int]:
    """In the files' order; batches are views of as large tensors as come."""
    for batch in dataset.to_batches():
        features = table.joined(batch).contiguous()
        for start in range(0, len(features), BATCH):
            yield len(features[start : start + BATCH])


def _ray(folder: str) -> Iterator[int]:
    import ray

    for batch in ray.data.read_parquet(folder).iter_torch_batches(batch_size=BATCH):
        yield len(next(iter(batch.values())))


@contextmanager
def _ray_here() -> Iterator[None]:
    import ray

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
