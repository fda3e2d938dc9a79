"""torchdata's StatefulDataLoader, for the benchmark of data.

python -m data.stateful LINE BLOCK WAY ASK FOLDER, started by ``measure.py`` with the Python of an
environment of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from data.files import files_of, tensors_of, use_all_cpus
from data.work import BATCH, BUFFER, Arrays, Batch, serve


class InMemory(Dataset):
    """Tensors of which a batch is fetched at once."""

    def __init__(self, folder: Path) -> None:
        arrays = Arrays.load(folder)
        self._columns = arrays.tensors()
        self._normal = arrays.normal()

    def __len__(self) -> int:
        return len(self._columns["id"])

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.tensor(indices)
        batch = {name: column.index_select(0, rows) for name, column in self._columns.items()}
        batch["x"] = self._normal(batch["x"])
        return batch


class Scanned(IterableDataset):
    """Files in a random order, read one by one into a buffer whose rows are given shuffled.

    Args:
        folder: of the samples.
    """

    def __init__(self, folder: Path) -> None:
        self._files = files_of(folder / "files")
        self._generator = torch.Generator().manual_seed(0)
        self._at: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Batch]:
        at = self._at = self._at or self._beginning()
        self._generator.set_state(at["random"])
        while at["files"]:
            batches, left = self._buffer(at["files"])
            for batch in batches[at["given"] :]:
                at["given"] += 1
                yield {name: column.index_select(0, batch[1]) for name, column in batch[0].items()}
            at.update(files=left, random=self._generator.get_state(), given=0)
        self._at = None

    def _beginning(self) -> dict[str, Any]:
        order = torch.randperm(len(self._files), generator=self._generator).tolist()
        files = [self._files[number] for number in order]
        return {"files": files, "random": self._generator.get_state(), "given": 0}

    def _buffer(self, files: list[str]) -> tuple[list[tuple[Batch, Tensor]], list[str]]:
        """Rows of the next files, with the places of each batch in them; the files left."""
        parts: list[Batch] = []
        while files and sum(len(part["x"]) for part in parts) < BUFFER:
            parts.append(tensors_of(pq.read_table(files[0])))
            files = files[1:]
        rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        order = torch.randperm(len(rows["x"]), generator=self._generator)
        return [(rows, places) for places in order.split(BATCH)], files

    def state_dict(self) -> dict[str, Any]:
        """The files from the present buffer on, and what was given of it."""
        return {"at": dict(self._at) if self._at else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on there."""
        self._at = dict(state["at"]) if state["at"] else None


class Stateful:
    """A loader in this process: workers were slower.

    Args:
        make: a new loader.
        key: the column that holds the number of the row.
    """

    def __init__(self, make: Callable[[], StatefulDataLoader], key: str) -> None:
        self.key = key
        self._make = make
        self._loader = make()
        self._state: dict[str, Any] = {}

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches of the loader."""
        yield from self._loader

    def stop(self) -> Batch:
        """The loader's state in the middle."""
        batches = iter(self._loader)
        half = sum(1 for _ in self._make()) // 2
        for _ in range(half):
            next(batches)
        self._state = self._loader.state_dict()
        return next(batches)

    def resume(self) -> Batch:
        """A new loader that takes the state."""
        loader = self._make()
        loader.load_state_dict(self._state)
        return next(iter(loader))


def in_memory(folder: Path) -> Stateful:
    """A dataset of tensors, shuffled."""
    samples = InMemory(folder)
    options = {"batch_size": BATCH, "shuffle": True, "collate_fn": lambda batch: batch}
    return Stateful(lambda: StatefulDataLoader(samples, **options), "id")


def streamed(folder: Path) -> Stateful:
    """Files that are scanned into a buffer."""
    use_all_cpus()
    return Stateful(lambda: StatefulDataLoader(Scanned(folder), batch_size=None), "target")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    serve({"memory": in_memory, "streaming": streamed})
