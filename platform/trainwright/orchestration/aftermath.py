"""What became of a group of workers that ended before training did, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainwright.orchestration.budget import Incident
from trainwright.orchestration.failures import Failure, root_cause
from trainwright.orchestration.hangs import explain_hangs, read_hangs
from trainwright.orchestration.ray_errors import KILLED
from trainwright.orchestration.vitals import Vitals
from trainwright.orchestration.worker_logs import CRASH, excerpt, log_name
from trainwright.storage import Folder

_CRASH = re.compile(rf"{CRASH}(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Aftermath:
    """What is told of a group's end.

    Attributes:
        incident: to be charged to a budget; None where trying again cannot help.
        told: the failure in full, with the end of the worker's log.
    """

    incident: Incident | None
    told: str


def aftermath(
    failures: Sequence[Failure],
    vitals: Mapping[int, Vitals],
    dead_nodes: set[str],
    folder: Folder,
) -> Aftermath:
    """Find the cause among what the workers and Ray said.

    Args:
        failures: of all workers that are known to have ended.
        vitals: of the workers, as far as they told.
        dead_nodes: Ray's names of the nodes that are dead by now.
        folder: the run's folder, with the logs.
    """
    cause = root_cause([*failures, *_lost_with_nodes(vitals, dead_nodes)])
    if cause is None:
        return Aftermath(None, "the workers ended without a result")
    rank = cause.rank
    if not cause.lost:
        told = f"worker {rank} failed: {cause.kind}: {cause.message}\n{cause.trace}"
        place = "" if rank is None else f"\nits log: {folder.url.rstrip('/')}/{log_name(rank)}"
        return Aftermath(None, told.rstrip() + place)
    seen = None if rank is None else vitals.get(rank)
    hangs = explain_hangs(read_hangs(folder), vitals.keys())
    lines = "" if rank is None else excerpt(folder, rank, seen)
    what = hangs or _sentence(cause, seen, lines)
    return Aftermath(Incident("node" if cause.cause == "node" else "worker", what), lines)


def _lost_with_nodes(vitals: Mapping[int, Vitals], dead_nodes: set[str]) -> list[Failure]:
    return [
        Failure(rank, "NodeDiedError", "its node died", "", "node")
        for rank, seen in sorted(vitals.items())
        if seen.node in dead_nodes
    ]


def _sentence(cause: Failure, seen: Vitals | None, lines: str) -> str:
    if cause.rank is None:
        return f"the workers were lost: {cause.kind}: {cause.message}"
    where = "" if seen is None else f" (process {seen.pid} on {seen.host})"
    lost = f"worker {cause.rank}{where} was lost: "
    if cause.message != KILLED:
        return lost + cause.message
    if crash := _CRASH.findall(lines):
        return f"{lost}it crashed: {crash[-1]}"
    text = lost + KILLED
    if seen is not None:
        text += f"; if nobody did it, the system did for lack of memory ({seen.memory})"
    return text
