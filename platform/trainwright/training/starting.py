"""Starting weights of a model: where they come from, and how they are put in place by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainwright.checkpoint import Checkpoint, CheckpointStore
from trainwright.checkpoint.dtypes import dtype_from_header
from trainwright.engine.deferred import Deferred
from trainwright.errors import CheckpointError, JobError, Problem
from trainwright.storage import Folder

PATH = "model.weights"
_MODEL = "model."


@dataclass(frozen=True)
class Place:
    """Where starting weights lie; plain values that travel to other machines.

    Attributes:
        url: a folder: of safetensors files, or of a run.
        files: the safetensors files in it; none for a run.
        checkpoint: the run's checkpoint.
        skip: patterns of names that are left as the model makes them.
    """

    url: str
    files: tuple[str, ...] = ()
    checkpoint: str = ""
    skip: tuple[str, ...] = ()

    def open(self) -> Weights:
        """The weights; nothing but their names is read yet."""
        folder = Folder(self.url)
        if self.files:
            return SafetensorsFiles(folder, self.files)
        return CheckpointWeights(CheckpointStore(folder).at(self.checkpoint))


class Weights(Protocol):
    """Tensors by name, read one at a time."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape."""
        ...

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU."""
        ...


class SafetensorsFiles:
    """The tensors of one or several safetensors files at any fsspec URL.

    Args:
        folder: where they are.
        files: their names.
    """

    def __init__(self, folder: Folder, files: Sequence[str]) -> None:
        self._folder = folder
        self._files = files

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape."""
        return {name: tuple(entry["shape"]) for name, (_, _, entry) in self._entries.items()}

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU."""
        file, begin, entry = self._entries[name]
        first, last = entry["data_offsets"]
        raw = bytearray(self._bytes(file, begin + first, last - first))
        dtype = dtype_from_header(entry["dtype"])
        if not raw:
            return torch.empty(entry["shape"], dtype=dtype)
        return torch.frombuffer(raw, dtype=dtype).reshape(entry["shape"])

    @cached_property
    def _entries(self) -> dict[str, tuple[str, int, Any]]:
        """Name -> file, where its data begins, and the header's entry."""
        found = {}
        for file in self._files:
            try:
                length = int.from_bytes(self._bytes(file, 0, 8), "little")
                header = json.loads(self._bytes(file, 8, length))
            except (ValueError, OverflowError, MemoryError) as error:
                message = f"{self._folder.join(file)} is no safetensors file: {error}"
                raise JobError(Problem(PATH, message)) from error
            header.pop("__metadata__", None)
            found.update({name: (file, 8 + length, entry) for name, entry in header.items()})
        return found

    def _bytes(self, file: str, start: int, length: int) -> bytes:
        path = f"{self._folder.path}/{file}"
        size = int(self._folder.fs.size(path))
        if start + length > size:
            raise ValueError(f"it ends after {size} bytes")
        content: bytes = self._folder.fs.cat_file(path, start=start, end=start + length)
        return content


class CheckpointWeights:
    """The model's parameters and buffers in a run's checkpoint.

    Args:
        checkpoint: of any ZeRO stage and number of workers.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._kinds = {
            name.removeprefix(_MODEL): kind
            for kind in ("param", "buffer")
            if kind in checkpoint.kinds()
            for name in checkpoint.names(kind)
            if name.startswith(_MODEL)
        }

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape."""
        found = self._kinds.items()
        return {name: tuple(self._checkpoint.shape(kind, _MODEL + name)) for name, kind in found}

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU."""
        kind = self._kinds[name]
        shape = self._checkpoint.shape(kind, _MODEL + name)
        return self._checkpoint.full(kind, _MODEL + name).reshape(shape)


@torch.no_grad()
def put_in_place(
    model: nn.Module,
    weights: Weights,
    skip: Collection[str] = (),
    deferred: Deferred | None = None,
) -> None:
    """Fill a model's parameters and buffers from weights of the same names and shapes.

    Args:
        model: as the model plugin makes it, before strategies change it.
        weights: where from.
        skip: patterns (``head.*``) of names to leave alone, on either side.
        deferred: takes note of what is to be read into tensors that it has not made yet.

    Raises:
        JobError: names or shapes that differ; all of them are told.
    """
    own = {n: t for n, t in model.state_dict(keep_vars=True).items() if not _matches(n, skip)}
    given = {n: shape for n, shape in weights.shapes.items() if not _matches(n, skip)}
    common = [name for name in own if name in given]
    filled = {id(own[name]) for name in common}
    # A weight that stands in several places may be in the file once.
    missing = [n for n, t in own.items() if n not in given and id(t) not in filled]
    other = [n for n in common if tuple(own[n].shape) != given[n]]
    problems = [
        *_listed("the model has weights that are not there", missing),
        *_listed("there are weights that the model does not have", set(given) - set(own)),
        *(
            Problem(
                PATH, f"{name} has another shape", list(given[name]), str(list(own[name].shape))
            )
            for name in other
        ),
    ]
    if problems:
        raise JobError(problems)
    for name in common:
        read = partial(_read, weights, name)
        if deferred is not None and deferred.holds(own[name]):
            deferred.fill(own[name], read)
        else:
            own[name].copy_(read())


def _read(weights: Weights, name: str) -> Tensor:
    try:
        return weights.read(name)
    except CheckpointError as error:
        raise JobError(Problem(PATH, str(error))) from error


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listed(message: str, names: Collection[str]) -> list[Problem]:
    if not names:
        return []
    shown = sorted(names)
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    mend = "name what is to be left out by patterns in model.weights.skip, for example ['head.*']"
    return [Problem(PATH, f"{message}: {', '.join(shown[:20])}{more}", mend=mend)]
