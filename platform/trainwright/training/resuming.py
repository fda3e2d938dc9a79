"""From which checkpoint an attempt at a run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainwright.checkpoint import Checkpoint, CheckpointStore
from trainwright.collectives import decided_by_rank_zero
from trainwright.errors import CheckpointError
from trainwright.storage import Folder
from trainwright.tracking import next_attempt


@dataclass(frozen=True)
class Start:
    """Where an attempt begins.

    Attributes:
        attempt: its number, used by none before.
        checkpoint: to be put back; None for a run that begins.
        lineage: ``[attempt, last step]`` of the attempts it continues.
        warnings: to be told at once: damaged checkpoints that were passed over.
        remarks: to be told at the end, and in the journal.
    """

    attempt: int
    checkpoint: Checkpoint | None
    lineage: list[list[int]]
    warnings: list[str]
    remarks: list[str] = field(default_factory=list)

    @property
    def cut_for(self) -> int | None:
        """Most workers that the updates of what is continued are made for; None for a new run."""
        if self.checkpoint is None:
            return None
        return int(self.checkpoint.info.get("cut_for", self.checkpoint.world_size))


def starting_point(folder: Folder, rank: int, start_from: tuple[str, str] | None) -> Start:
    """Worker 0 chooses attempt and checkpoint; the others follow (a collective).

    Args:
        folder: the run's folder.
        rank: this worker.
        start_from: folder of another run to continue from, and its checkpoint's name, for a run
            that has none of its own.

    Raises:
        CheckpointError: every checkpoint of the run is damaged.
        RunError: on the other workers, where worker 0 failed.
    """
    store = CheckpointStore(folder)
    chosen: list[Checkpoint] = []
    attempt, name, warnings = decided_by_rank_zero(rank, lambda: _choose(folder, store, chosen))
    if name is not None:
        checkpoint = chosen[0] if chosen else store.at(name)
        return Start(attempt, checkpoint, list(checkpoint.info["lineage"]), warnings)
    if start_from is not None:
        url, other = start_from
        return Start(attempt, CheckpointStore(Folder(url)).at(other), [], warnings)
    return Start(attempt, None, [], warnings)


def _choose(
    folder: Folder, store: CheckpointStore, chosen: list[Checkpoint]
) -> tuple[int, str | None, list[str]]:
    """The attempt's number, the newest checkpoint's name, and what was passed over.

    The checkpoint itself, of which every byte was just read, goes into ``chosen``.
    """
    newest = store.latest()
    if newest is None and (lost := _committed(folder)):
        raise CheckpointError(
            f"all checkpoints of this run are damaged ({', '.join(lost)}): "
            + "; ".join(store.warnings)
            + ". Put one of them back, or start anew with --fresh"
        )
    if newest is not None:
        chosen.append(newest)
    attempt = max(next_attempt(folder), store.last_attempt() + 1)
    return attempt, newest.name if newest else None, list(store.warnings)


def _committed(folder: Folder) -> list[str]:
    """Checkpoints that were once complete."""
    names = folder.names("checkpoints")
    return [name for name in names if folder.exists(f"checkpoints/{name}/manifest.json")]
