"""Hugging Face datasets, for the benchmark of data.

python -m data.huggingface LINE BLOCK WAY ASK FOLDER, started by ``measure.py`` with the Python of
an environment of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset

from data.files import files_of, tensors_of, use_all_cpus
from data.work import BATCH, BUFFER, Arrays, Batch, serve


class Fetched(Dataset):
    """A dataset in the format ``arrow``, of which a batch is fetched at once.

    Args:
        rows: the dataset.
    """

    def __init__(self, rows: datasets.Dataset) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: list[int]) -> pa.Table:
        return self._rows[indices]


class InMemory:
    """A data loader over a dataset in memory, whose Arrow tables are put into tensors.

    The format ``torch`` takes several times as long.
    """

    key = "id"

    def __init__(self, folder: Path) -> None:
        arrays = Arrays.load(folder)
        self._shape, self._target = arrays.x.shape[1:], arrays.target.shape[1:]
        self._normal = arrays.normal()
        columns = {
            "x": pa.FixedSizeListArray.from_arrays(arrays.x.ravel(), arrays.x[0].size),
            "target": arrays.target.ravel(),
            "id": arrays.id,
        }
        rows = datasets.Dataset(pa.table(columns)).with_format("arrow")
        options = {"batch_size": BATCH, "shuffle": True, "collate_fn": self._tensors}
        self._loader = DataLoader(Fetched(rows), **options)

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches of the loader."""
        yield from self._loader

    def _tensors(self, rows: pa.Table) -> Batch:
        arrays = {name: rows.column(name).combine_chunks() for name in rows.column_names}
        x = arrays["x"].flatten().to_numpy().reshape(-1, *self._shape)
        target = arrays["target"].to_numpy().reshape(-1, *self._target)
        return {
            "x": self._normal(torch.from_numpy(x)),
            "target": torch.from_numpy(target),
            "id": torch.from_numpy(arrays["id"].to_numpy()),
        }


class Streamed:
    """A streamed dataset with a buffer that is shuffled, whose Arrow tables are put into tensors.

    Args:
        folder: of the samples.
    """

    key = "target"

    def __init__(self, folder: Path) -> None:
        use_all_cpus()
        files = files_of(folder / "files")
        self._files = datasets.load_dataset(
            "parquet", data_files=files, split="train", streaming=True
        )
        self._state: dict[str, Any] = {}
        self._rows = self._shuffled()

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches in another order than before."""
        self._rows.set_epoch(number)
        for rows in self._rows.iter(BATCH):
            yield tensors_of(rows)

    def stop(self) -> Batch:
        """The dataset's state in the middle."""
        batches = self.epoch(0)
        for _ in range(sum(1 for _ in self._files.with_format("arrow").iter(BATCH)) // 2):
            next(batches)
        self._state = self._rows.state_dict()
        return next(batches)

    def resume(self) -> Batch:
        """The dataset anew, which takes the state."""
        self._rows = self._shuffled()
        self._rows.load_state_dict(self._state)
        return next(self.epoch(0))

    def _shuffled(self) -> datasets.IterableDataset:
        return self._files.shuffle(seed=0, buffer_size=BUFFER).with_format("arrow")


if __name__ == "__main__":
    # Arrow's memory cannot be written to, which PyTorch remarks at each tensor.
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    datasets.disable_progress_bars()
    # It waits for five seconds after each pass over parquet, for threads of Arrow that may crash.
    datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    serve({"memory": InMemory, "streaming": Streamed})
