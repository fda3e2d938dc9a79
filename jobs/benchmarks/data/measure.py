"""Batches of samples in memory and from files: our feeds, loops by hand, and loaders of others.

See README.md beside the folder of this file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.pairs import Ratio, Side, ratio_of
from common.peers import python_of
from common.processes import Sides, seconds

from data.files import write_files
from data.work import Arrays

OURS = "ours"
WARM_UP = 2
SLOW_SHARE = 2
"""Sides that are slow make one turn where the others make so many."""

GROUPS = 3
"""How often all processes are started anew."""


@dataclass(frozen=True)
class Contender:
    """A side.

    Attributes:
        name: in the tables.
        module: in the folder of the benchmarks.
        way: of the module.
        order: how rows are mixed in an epoch.
        goal: what the ratio of our seconds to its shall not exceed, if anything.
        is_peer: runs in the environment of peers.
        is_slow: an epoch takes many times as long as ours.
        resumes: whether it can begin in the middle of an epoch.
    """

    name: str
    module: str
    way: str
    order: str
    goal: float | None = None
    is_peer: bool = False
    is_slow: bool = False
    resumes: bool = False


@dataclass(frozen=True)
class Case:
    """What is gone through.

    Attributes:
        name: in the tables.
        kind: of the samples, see ``Arrays.made``.
        rows: how many.
        block: epochs in a turn.
        layout: of the files, see ``write_files``; None in memory.
    """

    name: str
    kind: str
    rows: int
    block: int
    layout: str | None = None


ALL, BUFFERED, WINDOWS, NONE = "all rows", "a buffer", "windows of all files", "nothing"
IN_MEMORY = (
    Contender(OURS, "data.ours", "memory", ALL, resumes=True),
    Contender("PyTorch by hand", "data.bare", "index_select", ALL, 1.1),
    Contender("numpy by hand", "data.bare", "take", ALL),
    Contender("pyarrow by hand", "data.bare", "arrow", ALL, 1.0),
    Contender("StatefulDataLoader", "data.stateful", "memory", ALL, 1.0, True, resumes=True),
    Contender("datasets", "data.huggingface", "memory", ALL, 1.0, True, True),
    Contender("Ray Data", "data.raydata", "memory", BUFFERED, 1.0, is_slow=True),
)
STREAMING = (
    Contender(OURS, "data.ours", "streaming", WINDOWS, resumes=True),
    Contender("pyarrow scan", "data.bare", "scan", NONE, 1 / 0.7),
    Contender("pyarrow scan, views", "data.bare", "views", NONE),
    Contender(
        "StatefulDataLoader", "data.stateful", "streaming", BUFFERED, 1.0, True, resumes=True
    ),
    Contender("datasets", "data.huggingface", "streaming", BUFFERED, 1.0, True, True, True),
    Contender("Ray Data", "data.raydata", "streaming", BUFFERED, 0.1, is_slow=True),
)
CASES = (
    Case("in memory, 64 floats", "vectors", 200_000, 5),
    Case("in memory, images of 3 x 32 x 32", "images", 50_000, 2),
    Case("streamed, 64 columns joined", "vectors", 200_000, 1, "columns"),
    Case("streamed, a column of lists of 64", "vectors", 200_000, 1, "lists"),
)


@dataclass(frozen=True)
class DataRow:
    """One side.

    Attributes:
        name: of it.
        order: how rows are mixed.
        goal: what ``ratio`` shall not exceed, if anything.
        epoch: seconds of an epoch; None where it could not be installed.
        ratio: of our seconds to its.
        resumed: seconds to the first batch in the middle of an epoch, where it can begin there.
        is_exact: whether that batch was the one that would have come.
    """

    name: str
    order: str
    goal: float | None
    epoch: Side | None = None
    ratio: Ratio | None = None
    resumed: Side | None = None
    is_exact: bool | None = None


@dataclass(frozen=True)
class DataResult:
    """What came of one case.

    Attributes:
        case: its name.
        rows: of the table.
        sides: all of them, ours first.
    """

    case: str
    rows: int
    sides: list[DataRow]


def compare(case: Case, pairs: int, with_slow: bool = True) -> DataResult:
    """Measure all sides on one case.

    Args:
        case: what is gone through.
        pairs: turns of each side, of all groups; slow ones make half.
        with_slow: whether those take part at all.
    """
    groups = max(1, min(GROUPS, pairs // 3))
    contenders = [
        contender
        for contender in (IN_MEMORY if case.layout is None else STREAMING)
        if with_slow or not contender.is_slow
    ]
    present = [c for c in contenders if not c.is_peer or python_of("data") is not None]
    with tempfile.TemporaryDirectory() as folder:
        arrays = Arrays.made(case.kind, case.rows)
        arrays.save(Path(folder))
        if case.layout is not None:
            write_files(arrays, case.layout, Path(folder) / "files")
        del arrays
        epochs = _epochs(case, present, pairs, groups, Path(folder))
        resumed = _resumed([c for c in present if c.resumes], max(pairs // 2, 1), Path(folder))
    rows = [_row(contender, epochs, groups, resumed) for contender in contenders]
    return DataResult(case.name, case.rows, rows)


Epochs = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Name -> seconds of our epochs, and of those of the other side beside them."""


def _epochs(
    case: Case, contenders: Sequence[Contender], pairs: int, groups: int, folder: Path
) -> Epochs:
    found: dict[str, tuple[list[float], list[float]]] = {c.name: ([], []) for c in contenders}
    for _ in range(groups):
        for name, times in _once(case, contenders, pairs // groups, folder).items():
            for joined, seconds_ in zip(found[name], times, strict=True):
                joined += seconds_
    return found


def _once(case: Case, contenders: Sequence[Contender], turns: int, folder: Path) -> Epochs:
    """The epochs of new processes."""
    found: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    with Sides(folder) as sides:
        for is_slow, number in ((False, turns), (True, max(turns // SLOW_SHARE, 1))):
            chosen = [c for c in contenders if c.is_slow == is_slow]
            for contender in chosen:
                block = 1 if is_slow else case.block
                _start(sides, contender, "epoch", block, folder)
            sides.timed(1 if is_slow else WARM_UP)
            times = seconds(sides.timed(number))
            found.update({c.name: (times[OURS], times[c.name]) for c in chosen})
    return found


def _resumed(
    contenders: Sequence[Contender], turns: int, folder: Path
) -> dict[str, tuple[Side, bool]]:
    with Sides(folder) as sides:
        for contender in contenders:
            _start(sides, contender, "resume", 1, folder)
        sides.timed(1)
        times = seconds(sides.timed(turns))
        exact = {name: bool(process.end()) for name, process in sides.processes.items()}
    return {name: (Side.of(found), exact[name]) for name, found in times.items()}


def _start(sides: Sides, contender: Contender, ask: str, block: int, folder: Path) -> None:
    options: dict[str, Any] = {"block": block}
    if contender.is_peer:
        options["python"] = python_of("data")
    sides.start(contender.name, contender.module, contender.way, ask, folder, **options)


def _row(
    contender: Contender, epochs: Epochs, groups: int, resumed: Mapping[str, tuple[Side, bool]]
) -> DataRow:
    name = contender.name
    if name not in epochs:
        return DataRow(name, contender.order, contender.goal)
    ours, its = epochs[name]
    ratio = None if name == OURS else ratio_of(ours, its, groups)
    took, is_exact = resumed.get(name, (None, None))
    return DataRow(name, contender.order, contender.goal, Side.of(its), ratio, took, is_exact)
