"""The samples of the benchmark of data, and a side that goes through them.

Nothing here imports Trainwright: peers read the same files in environments of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from common.pace import Pace
from torch import Tensor

BATCH = 256
FEATURES = 64
IMAGE = (3, 32, 32)
FILES = 8
BUFFER = 50_000
"""Rows of the buffers in which peers shuffle streams: a quarter of the table."""

Batch = dict[str, Tensor]
"""Columns ``x``, ``target`` and, in memory, ``id``."""


@dataclass(frozen=True)
class Arrays:
    """All samples.

    Attributes:
        x: shape (n, 64), float32, or (n, 3, 32, 32), uint8.
        target: shape (n, 1), float32, the number of the row; or of images (n,), int64, the class.
        id: the number of the row, int64.
        mean: of each channel of images as fractions, float32 of shape (3, 1, 1).
        std: their standard deviation.
    """

    x: np.ndarray
    target: np.ndarray
    id: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def made(cls, kind: str, rows: int) -> Arrays:
        """Random samples, ``vectors`` or ``images``."""
        rng, ids = np.random.default_rng(0), np.arange(rows)
        if kind == "vectors":
            none = np.zeros(0, np.float32)
            x = rng.standard_normal((rows, FEATURES), dtype=np.float32)
            return cls(x, ids[:, None].astype(np.float32), ids, none, none)
        x = rng.integers(0, 256, (rows, *IMAGE), dtype=np.uint8)
        channels = x.swapaxes(0, 1).reshape(3, -1)
        mean, std = (m(channels, axis=1).astype(np.float32) / 255 for m in (np.mean, np.std))
        shaped = mean.reshape(3, 1, 1), std.reshape(3, 1, 1)
        return cls(x, rng.integers(0, 10, rows), ids, *shaped)

    def save(self, folder: Path) -> None:
        """Write them, for every side to read."""
        for name, array in vars(self).items():
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Arrays:
        """Read what :meth:`save` wrote."""
        return cls(*(np.load(folder / f"{name}.npy") for name in cls.__dataclass_fields__))

    def tensors(self) -> Batch:
        """The three columns."""
        arrays = {"x": self.x, "target": self.target, "id": self.id}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def normal(self) -> Callable[[Tensor], Tensor]:
        """What turns features as they are stored into those to train on.

        Images by the operations of torchvision's ``v2.functional.to_dtype`` and ``normalize``.
        """
        if not len(self.mean):
            return lambda x: x
        mean, std = torch.from_numpy(self.mean), torch.from_numpy(self.std)
        return lambda x: (x.to(torch.float32).div_(255) - mean).div_(std)


class Way(Protocol):
    """A way to go through the samples.

    Attributes:
        key: the column that holds the number of the row.
    """

    key: str

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        ...


class Resumed(Way, Protocol):
    """A way that can begin in the middle of an epoch."""

    def stop(self) -> Batch:
        """Go to the middle, note where that is, and give the batch that comes next."""
        ...

    def resume(self) -> Batch:
        """Begin anew there: the first batch."""
        ...


class Seen:
    """Looks whether epochs had every row once, and whether a batch had what belongs to its rows.

    Args:
        arrays: all samples.
        key: the column that holds the number of the row.
    """

    def __init__(self, arrays: Arrays, key: str) -> None:
        self._arrays = arrays
        self._key = key
        self._epochs: list[Tensor] = []
        self._last: Batch = {}

    def go_through(self, batches: Iterable[Batch]) -> None:
        """Take all batches of an epoch."""
        key, num_rows = self._key, 0
        rows = torch.empty(2 * len(self._arrays.id), dtype=torch.int64)
        for batch in batches:
            # Copied: small tensors kept among large ones that are freed would leave holes, by
            # which the next large ones come to lie in memory that is not in the cache.
            ids = batch[key].flatten()
            rows[num_rows : num_rows + len(ids)] = ids
            num_rows += len(ids)
        self._epochs.append(rows[:num_rows])
        self._last = batch

    def check(self) -> None:
        """Look at the epochs since the last check.

        Raises:
            AssertionError: a row is missing or came twice, or a batch is wrong.
        """
        for rows in self._epochs:
            found = np.sort(rows.numpy())
            if not np.array_equal(found, self._arrays.id):
                raise AssertionError(f"not every row once: {len(found)} rows")
        ids = self._last[self._key].flatten().to(torch.int64).numpy()
        for name, wanted in self._expected(ids).items():
            torch.testing.assert_close(self._last[name].reshape(wanted.shape), wanted)
        self._epochs = []

    def _expected(self, ids: np.ndarray) -> Batch:
        x = self._arrays.normal()(torch.from_numpy(self._arrays.x[ids]))
        return {"x": x, "target": torch.from_numpy(self._arrays.target[ids])}


def serve(ways: dict[str, Callable[[Path], Way]]) -> None:
    """Be a side: ``MODULE LINE BLOCK WAY ASK FOLDER``.

    Args:
        ways: by name; made of the folder of the samples.
    """
    line, block, name, ask, folder = sys.argv[1:]
    torch.set_num_threads(1)
    way, pace = ways[name](Path(folder)), Pace(Connection(int(line)))
    if ask == "resume":
        _serve_resume(way, pace)
        return
    seen, epochs = Seen(Arrays.load(Path(folder)), way.key), count()

    def turn() -> None:
        for _ in range(int(block)):
            seen.go_through(way.epoch(next(epochs)))

    pace.serve(turn, seen.check)
    pace.end()


def _serve_resume(way: Resumed, pace: Pace) -> None:
    wanted, given = way.stop(), []
    pace.serve(lambda: given.append(way.resume()[way.key]))
    pace.end(all(rows.equal(wanted[way.key]) for rows in given))
