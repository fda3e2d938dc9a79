"""Loops by hand, in PyTorch, numpy and pyarrow, for the benchmark of data.

python -m data.bare LINE BLOCK WAY ASK FOLDER, started by ``measure.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import torch
from torch import Tensor

from data.files import tensors_of, use_all_cpus
from data.work import BATCH, Arrays, Batch, serve


class ByIndex:
    """Shuffled batches of tensors by ``index_select``."""

    key = "id"

    def __init__(self, folder: Path) -> None:
        arrays = Arrays.load(folder)
        self._columns = arrays.tensors()
        self._normal = arrays.normal()

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of a new permutation."""
        order = torch.randperm(len(self._columns["id"]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = {name: column.index_select(0, rows) for name, column in self._columns.items()}
            batch["x"] = self._normal(batch["x"])
            yield batch


class ByNumpy:
    """The fastest loop that was found: numpy's ``take``; images are scaled in place, in one go."""

    key = "id"

    def __init__(self, folder: Path) -> None:
        arrays = Arrays.load(folder)
        self._columns = {"x": arrays.x, "target": arrays.target, "id": arrays.id}
        self._normal = _in_place(arrays)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of a new permutation."""
        order = torch.randperm(len(self._columns["id"])).numpy()
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = {
                n: torch.from_numpy(column.take(rows, 0)) for n, column in self._columns.items()
            }
            batch["x"] = self._normal(batch["x"])
            yield batch


def _in_place(arrays: Arrays) -> Callable[[Tensor], Tensor]:
    if not len(arrays.mean):
        return lambda x: x
    mean, factor = torch.from_numpy(arrays.mean * 255), torch.from_numpy(1 / (arrays.std * 255))
    return lambda x: x.to(torch.float32).sub_(mean).mul_(factor)


class ByArrow:
    """Shuffled batches by ``take`` of an Arrow table."""

    key = "id"

    def __init__(self, folder: Path) -> None:
        arrays = Arrays.load(folder)
        self._shape, self._target = arrays.x.shape[1:], arrays.target.shape[1:]
        self._normal = arrays.normal()
        self._rows = pa.RecordBatch.from_pydict(
            {
                "x": pa.FixedSizeListArray.from_arrays(arrays.x.ravel(), arrays.x[0].size),
                "target": arrays.target.ravel(),
                "id": arrays.id,
            }
        )

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of a new permutation."""
        order = torch.randperm(len(self._rows)).numpy()
        for start in range(0, len(order), BATCH):
            taken = self._rows.take(pa.array(order[start : start + BATCH]))
            x = taken.column("x").flatten().to_numpy().reshape(-1, *self._shape)
            target = taken.column("target").to_numpy().reshape(-1, *self._target)
            yield {
                "x": self._normal(torch.from_numpy(x)),
                "target": torch.from_numpy(target),
                "id": torch.from_numpy(taken.column("id").to_numpy()),
            }


class Scan:
    """Batches in the order of the files, each turned into tensors of its own.

    Args:
        folder: of the samples.
        batch: rows of the batches that are turned; None for the largest that come.
    """

    key = "target"

    def __init__(self, folder: Path, batch: int | None = BATCH) -> None:
        use_all_cpus()
        self._dataset = ds.dataset(folder / "files")
        self._sizes = {} if batch is None else {"batch_size": batch}

    def epoch(self, number: int) -> Iterator[Batch]:
        """All rows once; batches of more are given as views of them."""
        for rows in self._dataset.to_batches(**self._sizes):
            whole = tensors_of(rows)
            for start in range(0, len(rows), BATCH):
                yield {name: column[start : start + BATCH] for name, column in whole.items()}


if __name__ == "__main__":
    # Arrow's memory cannot be written to, which PyTorch remarks at each tensor.
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    serve(
        {
            "index_select": ByIndex,
            "take": ByNumpy,
            "arrow": ByArrow,
            "scan": Scan,
            "views": lambda folder: Scan(folder, None),
        }
    )
