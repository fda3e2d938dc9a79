"""What checkpoints cost by the size of the state: the pause of training, writing, restoring.

A state of weights and AdamW's moments is saved and restored in turn by our checkpoints and by
PyTorch's own, in one process (``ways.py``); nothing trains meanwhile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.pairs import Ratio, Side, ratio_of
from common.processes import Sides

from saving.measure import PLACES

MEGABYTES = (10, 40, 156, 600)
QUICK_MEGABYTES = (2, 10)
FEWEST = 2
TIMES = {"local": 60, "s3": 15}
"""Megabytes of a state that is measured as often as there are pairs; larger ones fewer times."""

OURS = "ours"


@dataclass(frozen=True)
class WayRow:
    """One way to save a state of one size in one place.

    Attributes:
        place: ``local`` or ``s3``.
        megabytes: of the state.
        way: ``ours``, or the name of a function of PyTorch's.
        turns: how often.
        stall: seconds for which training would stand still.
        written: seconds until the checkpoint is there.
        restore: seconds from the files to weights and optimizer.
        stall_ratio: of our stall to this way's; None for ours.
        written_ratio: likewise.
        restore_ratio: likewise.
    """

    place: str
    megabytes: int
    way: str
    turns: int
    stall: Side
    written: Side
    restore: Side
    stall_ratio: Ratio | None
    written_ratio: Ratio | None
    restore_ratio: Ratio | None


def compare(pairs: int, quick: bool) -> list[WayRow]:
    """Every place and size; small states as often as there are ``pairs``."""
    sizes = QUICK_MEGABYTES if quick else MEGABYTES
    return [
        row
        for place in PLACES
        for size in sizes
        for row in _rows(place, size, max(FEWEST, min(pairs, pairs * TIMES[place] // size)))
    ]


def _rows(place: str, megabytes: int, turns: int) -> list[WayRow]:
    with tempfile.TemporaryDirectory() as folder, Sides(Path(folder)) as sides:
        sides.start(place, "saving.ways", place, megabytes * 10**6, block=1)
        sides.timed(turns)
        found = sides.processes[place].end()
    return [_row(place, megabytes, way, found[way], found[OURS]) for way in found]


def _row(
    place: str,
    megabytes: int,
    way: str,
    seconds: Sequence[list[float]],
    ours: Sequence[list[float]],
) -> WayRow:
    sides = (Side.of(each) for each in seconds)
    ratios = (
        None if way == OURS else ratio_of(mine, other)
        for mine, other in zip(ours, seconds, strict=True)
    )
    return WayRow(place, megabytes, way, len(seconds[0]), *sides, *ratios)
