"""Saving checkpoints in the background while training goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from trainwright.checkpoint.commit import commit
from trainwright.checkpoint.manifest import (
    FOLDER,
    MANIFEST,
    CheckpointName,
    Sidecar,
    shard_name,
    sidecar_name,
)
from trainwright.checkpoint.pieces import Piece
from trainwright.checkpoint.shards import write_shard
from trainwright.checkpoint.staging import Snapshot, Stage, copy_pieces, copy_state, pack_info
from trainwright.checkpoint.state import State
from trainwright.checkpoint.store import CheckpointStore
from trainwright.errors import CheckpointError
from trainwright.storage import Folder


class CheckpointWriter:
    """Writes one rank's share of each checkpoint; rank 0 commits it once all ranks are done.

    Ranks meet through the files alone, never by collectives. Every rank must save the same steps
    under the same attempt, and an attempt's number must never be used by two launches of the
    ranks: leftovers of a killed launch would be taken for the new one's.
    """

    def __init__(
        self,
        folder: Folder,
        rank: int,
        world_size: int,
        *,
        keep_last: int | None = None,
        keep_best: int = 0,
        commit_timeout_s: float = 600.0,
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: the run's folder; checkpoints go to its folder ``checkpoints``.
            rank: this rank, from 0.
            world_size: number of ranks.
            keep_last: after each commit rank 0 keeps this many newest checkpoints; None keeps
                all.
            keep_best: and this many with the best ``info["score"]``.
            commit_timeout_s: how long rank 0 waits for the other ranks' shards, in seconds.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be from 0 to {world_size - 1}, not {rank}")
        self._folder = folder
        self._rank = rank
        self._world_size = world_size
        self._keep = None if keep_last is None else (keep_last, keep_best)
        self._commit_timeout_s = commit_timeout_s
        self._stage = Stage()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self._failed_name = ""

    def save(
        self,
        step: int,
        attempt: int,
        pieces: Iterable[Piece],
        state: State | None,
        rank_state: State | None,
        info: Mapping[str, object],
        revision: int = 0,
    ) -> None:
        """Copy everything to the CPU, then write it in the background.

        Waits for the save before, if it is still being written. When this returns, training may
        change every tensor.

        Args:
            step: number of updates done.
            attempt: which launch of the ranks this is, from 1.
            pieces: this rank's slices; over all ranks they must make whole tensors.
            state: the global state; only rank 0's is kept.
            rank_state: state of this rank alone, such as its random numbers' state.
            info: plain values about the checkpoint. ``score`` with ``higher_is_better`` says
                which is best, among those of the highest ``phase``. Only rank 0's is kept.
            revision: how many checkpoints of this step the attempt wrote before.

        Raises:
            CheckpointError: the save before failed, or something cannot be stored; in the second
                case nothing is written.
        """
        self.wait()
        name = CheckpointName(attempt, step, revision)
        snapshot = self._snapshot(name, pieces, state, rank_state, info)
        # A lone rank finishes its save even when the program ends right after. With several, rank
        # 0 could wait long for a rank that is dead, so the thread must not keep the process alive.
        self._thread = threading.Thread(
            target=self._run,
            args=(name, lambda: self._write(snapshot)),
            name=f"checkpoint-{name}",
            daemon=self._world_size > 1,
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until the save in flight is written; on rank 0 that includes the commit.

        Raises:
            CheckpointError: it failed; said once, with the cause.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None:
            reason = str(failure) or type(failure).__name__
            raise CheckpointError(
                f"rank {self._rank} could not write checkpoint {self._failed_name}: {reason}"
            ) from failure

    def _snapshot(
        self,
        name: CheckpointName,
        pieces: Iterable[Piece],
        state: State | None,
        rank_state: State | None,
        info: Mapping[str, object],
    ) -> Snapshot:
        stage = self._stage
        stage.begin()
        file = shard_name(self._rank, self._world_size)
        index = copy_pieces(stage, pieces, file)
        packed = copy_state(stage, "state", state if state and self._rank == 0 else {})
        packed_rank = None if rank_state is None else copy_state(stage, "rank_state", rank_state)
        return Snapshot(name, stage.finish(), index, packed, packed_rank, pack_info(info))

    def _run(self, name: CheckpointName, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # kept for the thread that trains: wait() raises it
            self._failure = error
            self._failed_name = str(name)

    def _write(self, snapshot: Snapshot) -> None:
        target = self._folder / FOLDER / str(snapshot.name)
        if target.exists(MANIFEST):
            raise CheckpointError("it exists already; a finished checkpoint is never rewritten")
        file = shard_name(self._rank, self._world_size)
        metadata = {"format": "pt", "checkpoint": str(snapshot.name), "rank": str(self._rank)}
        record = write_shard(target, file, snapshot.tensors, metadata)
        sidecar = Sidecar(
            snapshot.name,
            self._rank,
            self._world_size,
            record,
            snapshot.index,
            snapshot.rank_state,
        )
        target.write_bytes(sidecar_name(self._rank, self._world_size), sidecar.to_bytes())
        if self._rank != 0:
            return
        commit(target, snapshot, self._world_size, self._commit_timeout_s)
        if self._keep is not None:
            last, best = self._keep
            CheckpointStore(self._folder).retain(last, best, committed=str(snapshot.name))
