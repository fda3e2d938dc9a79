"""Which checkpoints may go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainwright.checkpoint.manifest import CheckpointName

Condition = Literal["valid", "damaged", "unfinished"]


@dataclass(frozen=True)
class Candidate:
    """A checkpoint folder as retention sees it.

    Attributes:
        name: the checkpoint.
        condition: unfinished means that it has no manifest.
        score: what was monitored, if anything was.
        higher_is_better: the direction of ``score``.
        phase: number of the phase of training it is from.
    """

    name: CheckpointName
    condition: Condition
    score: float | None = None
    higher_is_better: bool = False
    phase: int = 0


def rank_by_score(candidates: Sequence[Candidate]) -> list[CheckpointName]:
    """Names of those that have a score, best first; of equals the earlier step comes first.

    The newest one says which direction is better. A score of nan is none. Scores of different
    phases of training cannot be compared: those of the last phase alone count.
    """
    last = max((c.phase for c in candidates), default=0)
    of_phase = [c for c in candidates if c.phase == last]
    scored = [c for c in of_phase if c.score is not None and not math.isnan(c.score)]
    if not scored:
        return []
    sign = -1.0 if max(scored, key=lambda c: c.name).higher_is_better else 1.0
    scored.sort(key=lambda c: (sign * (c.score or 0.0), c.name.step, -c.name.attempt))
    return [candidate.name for candidate in scored]


def removable(
    candidates: Sequence[Candidate], committed: CheckpointName, last: int, best: int
) -> list[CheckpointName]:
    """The checkpoints that may be deleted now, oldest first.

    Never among them: the ``last`` newest valid ones (at least one), the ``best`` best, any valid
    one of a later step than ``committed``, and what may still be being written. An unfinished
    folder is left over for certain when an earlier attempt began it, or when its own attempt has
    since committed a later step. Once a later attempt has written anything, ``committed`` is
    of a stale worker, which has no say.

    Args:
        candidates: all checkpoint folders.
        committed: the checkpoint just written.
        last: how many newest to keep.
        best: how many best to keep besides.
    """
    if any(c.name.attempt > committed.attempt for c in candidates):
        return []
    valid = sorted((c for c in candidates if c.condition == "valid"), key=lambda c: c.name)
    keep = {c.name for c in valid[-max(1, last) :]} | set(rank_by_score(valid)[:best])
    keep.add(committed)
    return sorted(c.name for c in candidates if c.name not in keep and _is_past(c, committed))


def _is_past(candidate: Candidate, committed: CheckpointName) -> bool:
    if candidate.condition == "unfinished" and candidate.name.attempt < committed.attempt:
        return True
    moment = (candidate.name.step, candidate.name.revision)
    return moment <= (committed.step, committed.revision)
