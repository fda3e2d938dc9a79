"""Ray Data, for the benchmark of data.

python -m data.raydata LINE BLOCK WAY ASK FOLDER, started by ``measure.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import ray
import torch

from data.files import feature_names
from data.work import BATCH, BUFFER, FILES, Arrays, Batch, serve


class InMemory:
    """Blocks in Ray's object store, in a random order, with a buffer that is shuffled."""

    key = "id"

    def __init__(self, folder: Path) -> None:
        start()
        arrays = Arrays.load(folder)
        self._normal = arrays.normal()

        def columns(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            rows = batch["id"]
            return {
                name: np.load(folder / f"{name}.npy", mmap_mode="r")[rows]
                for name in ("x", "target", "id")
            }

        numbers = ray.data.range(len(arrays.id), override_num_blocks=FILES)
        self._rows = numbers.map_batches(columns, batch_size=None).materialize()

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches."""
        shuffled = self._rows.randomize_block_order()
        for batch in shuffled.iter_torch_batches(
            batch_size=BATCH, local_shuffle_buffer_size=BUFFER
        ):
            batch["x"] = self._normal(batch["x"])
            yield batch


class Streamed:
    """Files that are read with a buffer that is shuffled.

    Args:
        folder: of the samples.
    """

    key = "target"

    def __init__(self, folder: Path) -> None:
        start()
        self._folder = str(folder / "files")
        self._names = feature_names(folder / "files")

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches."""
        rows = ray.data.read_parquet(self._folder, shuffle="files")
        for batch in rows.iter_torch_batches(batch_size=BATCH, local_shuffle_buffer_size=BUFFER):
            columns = [batch.pop(name) for name in self._names]
            batch["x"] = columns[0] if len(columns) == 1 else torch.stack(columns, dim=1)
            yield batch


def start() -> None:
    """Start Ray on all CPUs, and keep it quiet."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


if __name__ == "__main__":
    serve({"memory": InMemory, "streaming": Streamed})
