"""Checkpoints as PyTorch writes them: ``torch.save``, and ``torch.distributed.checkpoint``.

Nothing here imports Trainwright.
"""

from __future__ import annotations

import io
import time
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import fsspec
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

LAYERS = 4
BYTES_PER_WEIGHT = 12
"""The weight itself, and what AdamW keeps of it."""


class Trained:
    """A network of square layers, with an optimizer that has made an update.

    Args:
        size_bytes: of weights and optimizer state, about.
    """

    def __init__(self, size_bytes: int) -> None:
        torch.manual_seed(0)
        width = round((size_bytes / BYTES_PER_WEIGHT / LAYERS) ** 0.5)
        layers = [nn.Linear(width, width) for _ in range(LAYERS)]
        self.model = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.model(torch.randn(2, width)).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def tensors(self) -> list[Tensor]:
        """Weights, and what the optimizer keeps of them."""
        weights = list(self.model.parameters())
        kept = [self.optimizer.state[weight] for weight in weights]
        moments = [state[name] for state in kept for name in ("exp_avg", "exp_avg_sq", "step")]
        return [tensor.detach() for tensor in (*weights, *moments)]

    def state(self) -> dict[str, Any]:
        """Both as PyTorch's checkpoints take them; the tensors are the ones in use."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}


class Saved(NamedTuple):
    """What a checkpoint took.

    Attributes:
        stall: seconds for which training stands still.
        written: seconds until it is there.
    """

    stall: float
    written: float


class Way(ABC):
    """One way to write and read checkpoints.

    Args:
        trained: what is saved, and into what it is read.
        url: folder for the checkpoints.
    """

    def __init__(self, trained: Trained, url: str) -> None:
        self.trained = trained
        self.url = url

    @abstractmethod
    def save(self) -> Saved:
        """Write one, in place of the one before."""

    @abstractmethod
    def restore(self) -> None:
        """Read it, until weights and optimizer could train on."""


class Blocking(Way):
    """``torch.save`` and ``torch.load`` of one file."""

    def __init__(self, trained: Trained, url: str) -> None:
        super().__init__(trained, url)
        self._fs, path = fsspec.core.url_to_fs(url)
        self._fs.makedirs(path, exist_ok=True)
        self._file = f"{path}/checkpoint.pt"
        self._is_local = "file" in self._fs.protocol

    def save(self) -> Saved:
        began = time.perf_counter()
        if self._is_local:
            torch.save(self.trained.state(), self._file)
        else:
            with self._fs.open(self._file, "wb") as file:
                torch.save(self.trained.state(), file)
        seconds = time.perf_counter() - began
        return Saved(seconds, seconds)

    def restore(self) -> None:
        # Of an object, its bytes in one request are faster than the many reads of a file.
        source = self._file if self._is_local else io.BytesIO(self._fs.cat_file(self._file))
        state = torch.load(source)
        self.trained.model.load_state_dict(state["model"])
        self.trained.optimizer.load_state_dict(state["optimizer"])


class Distributed(Way):
    """``torch.distributed.checkpoint.save`` and ``load``."""

    def __init__(self, trained: Trained, url: str) -> None:
        super().__init__(trained, url)
        self._is_local = "://" not in url
        self._writer = dcp.FileSystemWriter(url) if self._is_local else FsspecWriter(url)

    def save(self) -> Saved:
        began = time.perf_counter()
        dcp.save(self.trained.state(), checkpoint_id=self.url, storage_writer=self._writer)
        seconds = time.perf_counter() - began
        return Saved(seconds, seconds)

    def restore(self) -> None:
        reader = dcp.FileSystemReader(self.url) if self._is_local else FsspecReader(self.url)
        # It reads into the tensors in use: there is nothing left to put in place.
        dcp.load(self.trained.state(), storage_reader=reader)


class Asynchronous(Distributed):
    """``torch.distributed.checkpoint.async_save``; memory for its copy is kept, as ours is."""

    def __init__(self, trained: Trained, url: str) -> None:
        super().__init__(trained, url)
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=False,
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=False,
            )
        )

    def save(self) -> Saved:
        began = time.perf_counter()
        writing = dcp.async_save(
            self.trained.state(),
            checkpoint_id=self.url,
            storage_writer=self._writer,
            async_stager=self._stager,
        )
        stall = time.perf_counter() - began
        writing.result()  # type: ignore[union-attr]
        return Saved(stall, time.perf_counter() - began)


TORCH = {
    "torch.save": Blocking,
    "torch.distributed.checkpoint.save": Distributed,
    "async_save": Asynchronous,
}
"""Each by its name."""
