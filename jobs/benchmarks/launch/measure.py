"""From the command to the first update: ``trainwright run`` against a bare script.

Both train the same small network on the digits with two Ray workers under ZeRO-2, in a process
and a Ray of their own, in turn. See README.md beside this file.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.children import IMPORTS
from common.pairs import Ratio, Side, interleave, ratio_of

from launch.stamps import read_stamps
from launch.waits import Wait, measure_waits, trainwright
from trainwright.runs import RunRecord
from trainwright.storage import Folder

JOB = Path(__file__).resolve().with_name("launch.yaml")
GOAL = 1.0
WORKER_STAGES = ("worker", "data", "engine", "update")
STAGES = ("driver", "init", "controller", *WORKER_STAGES)
"""Names of the stages, each ending with the stamp of its name."""

TIMEOUT_S = 600


@dataclass(frozen=True)
class LaunchResult:
    """What came of it.

    Attributes:
        ratio: of the seconds from the command to the first update.
        ours_s: those seconds.
        bare_s: those seconds.
        ours: median seconds of each stage.
        bare: median seconds of each stage.
        first: seconds of ours and of bare in the pair that does not count.
        waits: what else a user waits for, without another side.
        goal: what the ratio shall not exceed.
    """

    ratio: Ratio
    ours_s: Side
    bare_s: Side
    ours: dict[str, float]
    bare: dict[str, float]
    first: tuple[float, float]
    waits: list[Wait]
    goal: float = GOAL


def compare(pairs: int, quick: bool) -> LaunchResult:
    """Launch both in turn.

    Args:
        pairs: pairs that count; one more comes before them, which fills the machine's caches
            and sets up the tracking database.
        quick: the first pair is among those that count.
    """
    with tempfile.TemporaryDirectory() as folder:
        sides = partial(_ours, Path(folder)), partial(_bare, Path(folder))
        ours, bare = interleave(*sides, pairs if quick else 1 + pairs)
        waits = measure_waits(JOB, Path(folder), pairs, quick)
    first = ours[0]["total"], bare[0]["total"]
    ours, bare = ours[-pairs:], bare[-pairs:]
    totals = [[row["total"] for row in rows] for rows in (ours, bare)]
    return LaunchResult(
        ratio_of(*totals),
        Side.of(totals[0]),
        Side.of(totals[1]),
        medians(ours),
        medians(bare),
        first,
        waits,
    )


def durations(began: float, stamps: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage and in ``total``, from the times at which the stages ended."""
    ends = [began, *(stamps[stage] for stage in STAGES)]
    seconds = {s: after - before for s, before, after in zip(STAGES, ends, ends[1:], strict=False)}
    return {**seconds, "total": ends[-1] - began}


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each key over all rows."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def _ours(folder: Path) -> dict[str, float]:
    file = folder / "ours.jsonl"
    overrides = [f"strategies.0.file={file}", f"storage={folder / 'runs'}"]
    began, output = _run([*trainwright("run", JOB, overrides), "--fresh", "--json"], file)
    record = RunRecord.load(Folder(json.loads(output)["storage"]))
    assert record is not None
    return durations(began, {"driver": record.started, **read_stamps(file)})


def _bare(folder: Path) -> dict[str, float]:
    file = folder / "bare.jsonl"
    began, _ = _run([sys.executable, "-m", "launch.bare", str(file)], file)
    return durations(began, read_stamps(file))


def _run(command: list[str], file: Path) -> tuple[float, str]:
    """Run to the end, so that nothing of it is left when the other side starts."""
    file.unlink(missing_ok=True)
    environment = {**os.environ, **IMPORTS, "OMP_NUM_THREADS": "1"}
    began = time.time()
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return began, done.stdout
