"""Reading a checkpoint: any range of any tensor, whoever wrote which piece of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import torch

from trainwright.checkpoint.assemble import assemble
from trainwright.checkpoint.files import file_sizes
from trainwright.checkpoint.manifest import (
    FOLDER,
    MANIFEST,
    CheckpointName,
    Manifest,
    shard_name,
)
from trainwright.checkpoint.pieces import PieceRef, TensorEntry, piece_key
from trainwright.checkpoint.shards import Shard
from trainwright.checkpoint.state import JSON, State, unpack_state
from trainwright.checkpoint.verified import ChunkCache, VerifiedFile
from trainwright.errors import CheckpointError
from trainwright.storage import Folder
from trainwright.suggest import nearest, one_of

_VERIFY_THREADS = 8
MOST_KEPT = 1 << 30
"""Bytes that :meth:`Checkpoint.verify` keeps at most, and of free memory it takes a quarter."""


class UnfinishedError(CheckpointError):
    """A checkpoint has no manifest: it is still being written, or never was to its end."""


class Checkpoint:
    """A finished checkpoint, opened for reading.

    Every byte that is read is checked against its checksum first, so a damaged tensor is never
    returned; :meth:`verify` checks the bytes that nobody asked for too. Instances serve one
    thread.
    """

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        """Use :meth:`open`, which reads the manifest.

        Args:
            folder: the checkpoint's own folder.
            manifest: its manifest.
        """
        self.folder = folder
        self._manifest = manifest
        self._cache = ChunkCache()
        self._shards = {
            file: Shard(VerifiedFile(folder, file, record, self._cache), file)
            for file, record in manifest.files.items()
        }

    @classmethod
    def open(cls, run_folder: Folder, name: CheckpointName) -> Checkpoint:
        """Read the manifest of a checkpoint and check that every shard is there in full length.

        Args:
            run_folder: the run's folder.
            name: which checkpoint.

        Raises:
            UnfinishedError: there is no manifest.
            CheckpointError: a damaged one or another's, a shard missing or of another size.
        """
        folder = run_folder / FOLDER / str(name)
        try:
            manifest = Manifest.from_bytes(folder.read_bytes(MANIFEST), name)
        except FileNotFoundError:
            message = f"{MANIFEST} is missing (was its writing cut short?)"
            raise UnfinishedError(message) from None
        except (IsADirectoryError, NotADirectoryError) as error:
            raise CheckpointError(f"{MANIFEST} is no file") from error
        sizes = file_sizes(folder)
        for file, record in manifest.files.items():
            if file not in sizes:
                raise CheckpointError(f"{file} is missing")
            if sizes[file] != record.size:
                raise CheckpointError(f"{file} has {sizes[file]} bytes instead of {record.size}")
        return cls(folder, manifest)

    @property
    def name(self) -> str:
        """The folder's name, for example ``step-00000200-a1``."""
        return str(self._manifest.name)

    @property
    def step(self) -> int:
        """Number of updates done when it was written."""
        return self._manifest.name.step

    @property
    def attempt(self) -> int:
        """The attempt that wrote it."""
        return self._manifest.name.attempt

    @property
    def world_size(self) -> int:
        """Number of ranks that wrote it."""
        return self._manifest.world_size

    @cached_property
    def info(self) -> State:
        """Plain values about it: epoch, metrics, score..."""
        return unpack_state(self._manifest.info, {})

    @property
    def score(self) -> float | None:
        """The value that says which checkpoint is best, if one was given."""
        value = self.info.get("score")
        return float(value) if isinstance(value, (int, float)) else None

    @cached_property
    def state(self) -> State:
        """The global state that rank 0 gave; its tensors are on the CPU and the caller's own.

        Raises:
            CheckpointError: the bytes of its tensors are damaged.
        """
        return self._state("state", self._manifest.state, 0)

    def rank_state(self, rank: int) -> State | None:
        """The state that ``rank`` alone gave; None when it gave none or there was no such rank.

        Raises:
            CheckpointError: the bytes of its tensors are damaged.
        """
        packed = self._manifest.rank_states[rank] if rank < self.world_size else None
        return None if packed is None else self._state("rank_state", packed, rank)

    def kinds(self) -> tuple[str, ...]:
        """Kinds of tensors in it: param, buffer, exp_avg..."""
        return tuple(self._manifest.index)

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of the tensors of one kind; empty when it holds none."""
        return tuple(self._manifest.index.get(kind, {}))

    def shape(self, kind: str, name: str) -> tuple[int, ...]:
        """Shape of a full tensor.

        Raises:
            CheckpointError: there is no such tensor.
        """
        return self._entry(kind, name).shape

    def dtype(self, kind: str, name: str) -> torch.dtype:
        """Dtype of a tensor.

        Raises:
            CheckpointError: there is no such tensor.
        """
        return self._entry(kind, name).dtype

    def full(self, kind: str, name: str) -> torch.Tensor:
        """A whole tensor in its shape, fresh and on the CPU.

        Raises:
            CheckpointError: as for :meth:`read`.
        """
        return self.read(kind, name).reshape(self.shape(kind, name))

    def read(self, kind: str, name: str, start: int = 0, numel: int | None = None) -> torch.Tensor:
        """Elements of a tensor, assembled from whatever pieces hold them.

        Args:
            kind: for example ``param``.
            name: the full tensor's name.
            start: first element in the flat full tensor.
            numel: number of elements; to the end by default.

        Returns:
            A fresh CPU tensor of shape (numel,).

        Raises:
            CheckpointError: no such tensor or range, damage, or pieces that overlap and disagree.
        """
        entry = self._entry(kind, name)

        def load(piece: PieceRef, low: int, high: int) -> torch.Tensor:
            key = piece_key(kind, name, piece.start)
            shard = self._shards[piece.file]
            return shard.elements(key, low - piece.start, high - low, entry.dtype)

        try:
            return assemble(entry, start, entry.numel if numel is None else start + numel, load)
        except CheckpointError as error:
            raise CheckpointError(f"{self.name}: {kind} {name!r}: {error}") from error

    def verify(self) -> None:
        """Check every byte of every shard, several at once.

        As much as memory easily has is kept until :meth:`release`, so that who loads the
        checkpoint now fetches and checks it once.

        Raises:
            CheckpointError: damage, naming file and place.
        """
        import psutil

        self._cache.make_room(min(MOST_KEPT, psutil.virtual_memory().available // 4))
        with ThreadPoolExecutor(min(_VERIFY_THREADS, os.cpu_count() or 1)) as pool:
            checks = [
                pool.submit(shard.file.verify, first, last)
                for shard in self._shards.values()
                for first, last in shard.file.spans()
            ]
            try:
                for check in checks:
                    check.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def release(self) -> None:
        """Give the memory back that :meth:`verify` keeps; reading goes on from the storage."""
        self._cache.release()

    def _entry(self, kind: str, name: str) -> TensorEntry:
        names = self._manifest.index.get(kind)
        if names is None:
            raise CheckpointError(
                f"{self.name}: holds no tensors of kind {kind!r}; it has {one_of(self.kinds())}"
            )
        if name not in names:
            close = nearest(name, names)
            hint = f"; did you mean {close!r}?" if close else ""
            raise CheckpointError(f"{self.name}: holds no {kind} {name!r}{hint}")
        return names[name]

    def _state(self, label: str, packed: JSON, rank: int) -> State:
        shard = self._shards[shard_name(rank, self.world_size)]
        prefix = f"{label}|"
        try:
            tensors: Mapping[str, torch.Tensor] = {
                key.removeprefix(prefix): shard.tensor(key)
                for key in shard.keys()  # noqa: SIM118 - not a mapping
                if key.startswith(prefix)
            }
            return unpack_state(packed, tensors)
        except CheckpointError as error:
            raise CheckpointError(f"{self.name}: {label} of rank {rank}: {error}") from error
