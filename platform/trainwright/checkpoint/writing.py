"""One rank's part in the writing of one checkpoint, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from trainwright.checkpoint.commit import commit
from trainwright.checkpoint.manifest import (
    FOLDER,
    MANIFEST,
    Sidecar,
    shard_name,
    sidecar_name,
)
from trainwright.checkpoint.reader import Checkpoint
from trainwright.checkpoint.shards import write_shard
from trainwright.checkpoint.staging import Snapshot
from trainwright.errors import CheckpointError, StoreError
from trainwright.storage import Folder, cause_of


@dataclass(frozen=True)
class Place:
    """Where a rank writes.

    Attributes:
        folder: the run's folder.
        rank: the rank.
        world_size: number of ranks.
        timeout_s: how long rank 0 waits for the others, in seconds.
    """

    folder: Folder
    rank: int
    world_size: int
    timeout_s: float


@dataclass
class Writing:
    """Writes a snapshot; rank 0 commits the checkpoint once all ranks are done.

    Attributes:
        place: where to.
        snapshot: what.
        committed: called on rank 0 with the checkpoint once it counts.
        failure: what went wrong, once it has: a :class:`StoreError` where the store did not take
            the checkpoint, another ``CheckpointError`` where the program is at fault.
    """

    place: Place
    snapshot: Snapshot
    committed: Callable[[Checkpoint], None]
    failure: CheckpointError | None = None
    _shared: threading.Event = field(default_factory=threading.Event)
    _given_up: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        # A lone rank finishes its save even when the program ends right after. With several, rank
        # 0 could wait long for a rank that is dead, so the thread must not keep the process alive.
        self._thread = threading.Thread(
            target=self._run,
            name=f"checkpoint-{self.snapshot.name}",
            daemon=self.place.world_size > 1,
        )
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it is not done yet."""
        return self._thread is not None and self._thread.is_alive()

    def share(self) -> CheckpointError | None:
        """Wait until this rank's own files are written or have failed; the failure."""
        self._shared.wait()
        return self.failure

    def give_up(self) -> None:
        """No longer wait for other ranks."""
        self._given_up.set()

    def end(self) -> CheckpointError | None:
        """Wait until all is done, on rank 0 with the commit; the failure."""
        if self._thread is not None:
            self._thread.join()
        return self.failure

    def _run(self) -> None:
        try:
            self._write()
        except CheckpointError as error:
            self.failure = error
        except Exception as error:  # whatever the store's client raises
            self.failure = StoreError(cause_of(error))
            self.failure.__cause__ = error
        finally:
            self._shared.set()

    def _write(self) -> None:
        place, snapshot = self.place, self.snapshot
        target = place.folder / FOLDER / str(snapshot.name)
        if MANIFEST in target.names():
            raise CheckpointError("it exists already; a finished checkpoint is never rewritten")
        file = shard_name(place.rank, place.world_size)
        metadata = {"format": "pt", "checkpoint": str(snapshot.name), "rank": str(place.rank)}
        record = write_shard(target, file, snapshot.tensors, metadata)
        sidecar = Sidecar(
            snapshot.name,
            place.rank,
            place.world_size,
            record,
            snapshot.index,
            snapshot.rank_state,
        )
        target.write_bytes(sidecar_name(place.rank, place.world_size), sidecar.to_bytes())
        self._shared.set()
        if place.rank == 0:
            manifest = commit(target, snapshot, sidecar, place.timeout_s, self._given_up)
            self.committed(Checkpoint(target, manifest))
