"""Which checkpoints of a population are still needed: those from which a member may go on."""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.checkpoint import CheckpointStore
from trainwright.search.trials import Segment, Trial, runs_of
from trainwright.storage import Folder


class Pruning:
    """Removes checkpoints of members that nobody will go on from.

    The runs of members remove none themselves: how long one is needed depends on when the member
    that copies it has got so far as to have one of its own.

    Args:
        trials: the members.
        storage: where their runs are kept.
    """

    def __init__(self, trials: Sequence[Trial], storage: Folder) -> None:
        self._trials, self._storage = trials, storage

    def __call__(self, number: int, step: int) -> None:
        """Remove what a member has left behind.

        Args:
            number: of the member, which is held, or at least writes nothing older than this.
            step: where it was compared just now.
        """
        awaited = {place for trial in self._trials for place in self._awaited(trial)}
        own = self._trials[number]
        has_left = bool(own.segments) and own.segments[-1].run is None
        for run in runs_of([own]):
            store = CheckpointStore(self._storage / run)
            found = store.list()
            is_left = run != own.run or has_left
            newest = max((ck.step for ck in found if ck.step <= step), default=step)
            old = [ck.name for ck in found if is_left or ck.step < newest]
            store.remove([name for name in old if (store.folder.url, name) not in awaited])

    def _awaited(self, trial: Trial) -> list[tuple[str, str]]:
        """From where a member begins that has no checkpoint of its own yet."""
        last: Segment | None = trial.segments[-1] if trial.segments else None
        if last is None or last.start_from is None:
            return []
        if last.run is not None and CheckpointStore(self._storage / last.run).list():
            return []
        return [last.start_from]
