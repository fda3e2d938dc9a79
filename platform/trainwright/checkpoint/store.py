"""The checkpoints of a run: finding the one to use, and removing the ones nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from trainwright.checkpoint.manifest import FOLDER, MANIFEST, CheckpointName
from trainwright.checkpoint.reader import Checkpoint, UnfinishedError
from trainwright.checkpoint.retention import Candidate, rank_by_score, removable
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

Verify = Literal["full", "sizes"]


class CheckpointStore:
    """All checkpoints under a run's folder.

    Attributes:
        warnings: what the last call of :meth:`latest` or :meth:`best` passed over and what it
            used instead, one sentence each.
    """

    def __init__(self, folder: Folder) -> None:
        """Nothing is read yet.

        Args:
            folder: the run's folder; checkpoints are in its folder ``checkpoints``.
        """
        self.folder = folder
        self.warnings: list[str] = []

    def latest(self, verify: Verify = "full") -> Checkpoint | None:
        """The newest checkpoint that is whole; None when there is none.

        Newest means of the highest attempt, then of the highest step. Folders that are newer but
        damaged or unfinished are passed over and named in :attr:`warnings`.

        Args:
            verify: ``full`` reads every byte of every shard; ``sizes`` checks the manifest and
                the lengths alone. Either way, what is read later is verified as it is read.
        """
        return self._first_whole(self._names()[::-1], verify)

    def best(self, verify: Verify = "full") -> Checkpoint | None:
        """The last phase's checkpoint with the best ``info["score"]``; None when none has one.

        Damaged ones that had a better score are passed over and named in :attr:`warnings`.
        """
        return self._first_whole(rank_by_score(self._candidates()), verify)

    def at(self, which: int | str) -> Checkpoint:
        """One checkpoint, checked by its manifest and the lengths of its shards.

        Args:
            which: a folder name such as ``step-00000200-a1``, or a step; of several attempts at
                that step the highest whole one.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        names = [n for n in self._names()[::-1] if which in (str(n), n.step)]
        problems = []
        for name in names:
            try:
                return Checkpoint.open(self.folder, name)
            except CheckpointError as error:
                problems.append(f"{name}: {error}")
        what = f"step {which}" if isinstance(which, int) else repr(which)
        there = ", ".join(str(name) for name in self._names()) or "none"
        raise CheckpointError(
            "; ".join(problems)
            or f"there is no checkpoint {what} in {self.folder.url}; there are: {there}"
        )

    def oldest_step(self) -> int | None:
        """Updates done at the oldest checkpoint there is, whole or not; None without any."""
        return min((name.step for name in self._names()), default=None)

    def list(self) -> tuple[Checkpoint, ...]:
        """The checkpoints whose manifests and lengths are right, oldest first."""
        found = []
        for name in self._names():
            try:
                found.append(Checkpoint.open(self.folder, name))
            except CheckpointError:  # latest() is what reports damage
                continue
        return tuple(found)

    def last_attempt(self) -> int:
        """The highest attempt that began a checkpoint, finished or not; 0 when none did."""
        return max((name.attempt for name in self._names()), default=0)

    def retain(self, last: int, best: int, committed: Checkpoint | None = None) -> tuple[str, ...]:
        """Delete what the policy does not keep, and leftovers that cannot become whole any more.

        The manifest goes first, so that an interrupted deletion leaves nothing that counts.

        Args:
            last: number of newest whole checkpoints that stay; at least 1.
            best: number of best-scored ones that stay besides.
            committed: the checkpoint just written, which is not read again; the newest whole
                one by default.

        Returns:
            Names of the deleted folders.
        """
        candidates = self._candidates(committed)
        name = CheckpointName.parse(committed.name) if committed is not None else None
        if name is None:
            name = max((c.name for c in candidates if c.condition == "valid"), default=None)
        if name is None:
            return ()
        removed = tuple(str(old) for old in removable(candidates, name, last, best))
        self.remove(removed)
        return removed

    def remove(self, names: Sequence[str]) -> None:
        """Delete checkpoints by their folder names, the manifest of each first."""
        self.folder.fs.invalidate_cache()
        for name in names:
            self.folder.remove_file(f"{FOLDER}/{name}/{MANIFEST}")
            self.folder.remove(f"{FOLDER}/{name}")

    def _names(self) -> tuple[CheckpointName, ...]:
        parsed = (CheckpointName.parse(text) for text in self.folder.names(FOLDER))
        return tuple(sorted(name for name in parsed if name is not None))

    def _candidates(self, known: Checkpoint | None = None) -> tuple[Candidate, ...]:
        return tuple(self._candidate(name, known) for name in self._names())

    def _candidate(self, name: CheckpointName, known: Checkpoint | None) -> Candidate:
        try:
            if known is not None and known.name == str(name):
                checkpoint = known
            else:
                checkpoint = Checkpoint.open(self.folder, name)
        except UnfinishedError:
            return Candidate(name, "unfinished")
        except CheckpointError:
            return Candidate(name, "damaged")
        higher = bool(checkpoint.info.get("higher_is_better", False))
        phase = int(checkpoint.info.get("phase", 0))
        return Candidate(name, "valid", checkpoint.score, higher, phase)

    def _first_whole(self, names: Sequence[CheckpointName], verify: Verify) -> Checkpoint | None:
        damaged: list[str] = []
        used: Checkpoint | None = None
        for name in names:
            try:
                used = Checkpoint.open(self.folder, name)
                if verify == "full":
                    used.verify()
                break
            except CheckpointError as error:
                used = None
                damaged.append(f"checkpoint {name} cannot be used: {error}")
        instead = f"using {used.name} instead" if used else "no checkpoint is left to use"
        self.warnings = [f"{problem}; {instead}" for problem in damaged]
        return used
