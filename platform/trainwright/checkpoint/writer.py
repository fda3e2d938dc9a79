"""Saving checkpoints in the background while training goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from trainwright.checkpoint.manifest import FOLDER, MANIFEST, CheckpointName, shard_name
from trainwright.checkpoint.pieces import Piece
from trainwright.checkpoint.reader import Checkpoint
from trainwright.checkpoint.staging import Snapshot, Stage, copy_pieces, copy_state, pack_info
from trainwright.checkpoint.state import State
from trainwright.checkpoint.store import CheckpointStore
from trainwright.checkpoint.writing import Place, Writing
from trainwright.errors import CheckpointError
from trainwright.storage import Folder, cause_of


class CheckpointWriter:
    """Writes one rank's share of each checkpoint; rank 0 commits it once all ranks are done.

    Ranks meet through the files alone, never by collectives. Every rank must save the same steps
    under the same attempt, and an attempt's number must never be used by two launches of the
    ranks: leftovers of a killed launch would be taken for the new one's.

    Attributes:
        kept_too_many: why the store did not let go of checkpoints that are no longer kept, if so.
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
        self._place = Place(folder, rank, world_size, commit_timeout_s)
        self._keep = None if keep_last is None else (keep_last, keep_best)
        self._stage = Stage()
        self._writing: Writing | None = None
        self._in_flight = False
        self._clearing: threading.Thread | None = None
        self.kept_too_many: str | None = None

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
        self._start(
            self._snapshot(CheckpointName(attempt, step, revision), pieces, state, rank_state, info)
        )

    def wait(self) -> None:
        """Wait until the save in flight is written; on rank 0 that includes the commit.

        Raises:
            StoreError: the store did not take it; said once, with the cause.
            CheckpointError: it failed for another reason.
        """
        failure = self.end()
        if failure is not None:
            what = f"rank {self._place.rank} could not write checkpoint {self.name}"
            raise type(failure)(f"{what}: {failure}") from (failure.__cause__ or failure)

    @property
    def name(self) -> str:
        """The checkpoint saved last; empty before the first."""
        return str(self._writing.snapshot.name) if self._writing is not None else ""

    @property
    def url(self) -> str:
        """Where checkpoints go."""
        return self._place.folder.url

    @property
    def is_writing(self) -> bool:
        """Whether a save is still being written."""
        return self._writing is not None and self._writing.is_alive

    @property
    def failed(self) -> bool:
        """Whether the save in flight is known to have failed."""
        return self._in_flight and self._writing is not None and self._writing.failure is not None

    def share(self) -> CheckpointError | None:
        """Wait until this rank's own files of the save in flight are written; what went wrong."""
        return self._writing.share() if self._writing is not None else None

    def end(self, give_up: bool = False) -> CheckpointError | None:
        """Wait for the end of the save in flight; what went wrong, said once.

        Args:
            give_up: do not wait for other ranks, one of which has failed.
        """
        if self._writing is None or not self._in_flight:
            return None
        if give_up:
            self._writing.give_up()
        failure = self._writing.end()
        self._in_flight = False
        return failure

    def retry(self) -> None:
        """Write once more what could not be written, under a name of its own.

        Leftovers of the first try may still be there, and no rank may take them for another's.
        """
        assert self._writing is not None
        assert not self._in_flight
        snapshot = self._writing.snapshot
        name = replace(snapshot.name, revision=snapshot.name.revision + 1)
        self._start(replace(snapshot, name=name))

    def discard(self) -> None:
        """Remove, in the background, what is there of the checkpoint that failed on some rank.

        Every rank must have ended its save before.
        """
        place = f"{FOLDER}/{self.name}"

        def clear() -> None:
            with contextlib.suppress(Exception):  # it does not count, wherever it stays
                self._place.folder.remove_file(f"{place}/{MANIFEST}")
                self._place.folder.remove(place)

        self._clearing = threading.Thread(target=clear, name="clearing", daemon=True)
        self._clearing.start()

    def _start(self, snapshot: Snapshot) -> None:
        if self._clearing is not None:
            self._clearing.join()
        self._writing = Writing(self._place, snapshot, committed=self._retain)
        self._in_flight = True
        self._writing.start()

    def _retain(self, committed: Checkpoint) -> None:
        if self._keep is None:
            return
        last, best = self._keep
        try:
            CheckpointStore(self._place.folder).retain(last, best, committed=committed)
            self.kept_too_many = None
        except Exception as error:  # whatever the store's client raises; the new one counts
            self.kept_too_many = cause_of(error)

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
        file = shard_name(self._place.rank, self._place.world_size)
        index = copy_pieces(stage, pieces, file)
        packed = copy_state(stage, "state", state if state and self._place.rank == 0 else {})
        packed_rank = None if rank_state is None else copy_state(stage, "rank_state", rank_state)
        return Snapshot(name, stage.finish(), index, packed, packed_rank, pack_info(info))
