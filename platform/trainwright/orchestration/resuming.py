"""Continuing a run under a changed job, refusing by name what cannot be continued."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.checkpoint import CheckpointStore
from trainwright.errors import InputError, Problem
from trainwright.job import Job
from trainwright.orchestration.anchoring import anchored
from trainwright.runs import find_run
from trainwright.secrets import public_values
from trainwright.storage import Folder

FREE = (
    "name",
    "kind",
    "version",
    "training.epochs",
    "training.steps",
    "training.evaluate_every",
    "training.checkpoint_every",
    "training.evaluation_batch_size",
    "training.micro_batch_size",
    "training.keep",
    "training.monitor",
    "training.record_samples",
    "training.max_grad_norm",
    "schedule",
    "metrics",
    "cluster",
    "storage",
    "tracking",
    "deepspeed",
    "engine",
)
"""What may differ from the run that is continued; everything else must be the same."""


@dataclass(frozen=True)
class Source:
    """A checkpoint of another run.

    Attributes:
        label: ``RUN@STEP``.
        place: URL of the run's folder, and the checkpoint's name.
    """

    label: str
    place: tuple[str, str]


def continued_from(job: Job, storage: Folder, run: str) -> Source:
    """The last checkpoint of ``run``, if ``job`` can go on from it.

    Raises:
        InputError: no such run, no checkpoint, or the job differs where it must not.
    """
    folder, record = find_run(storage, run)
    checkpoint = CheckpointStore(folder).latest()
    if checkpoint is None:
        raise InputError(
            Problem(path="--resume", message="the run has no checkpoint", got=record.name)
        )
    before: Mapping[str, Any] = checkpoint.state["job"]
    now = public_values(anchored(job))
    problems = [
        Problem(
            path=path,
            message=f"cannot change when continuing {record.name}",
            got=new,
            allowed=repr(old),
        )
        for path, old, new in _differences(before, now)
    ]
    if problems:
        raise InputError([job.locate(problem) for problem in problems])
    return Source(f"{record.name}@{checkpoint.step}", (folder.url, checkpoint.name))


def _differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if path in FREE or before == now:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key), now.get(key), inner)
        return
    yield path, before, now
