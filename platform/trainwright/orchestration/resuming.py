"""Continuing a run under a changed job, refusing by name what cannot be continued."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.checkpoint import CheckpointStore
from trainwright.errors import InputError, Problem
from trainwright.job.check import plugins_of
from trainwright.orchestration.prepare import Prepared
from trainwright.plugins import plugin_files
from trainwright.runs import find_run
from trainwright.secrets import public_values
from trainwright.storage import Folder
from trainwright.training.saving import digests

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
    "training.max_failed_checkpoints",
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

FREE_GROUPS = ("metrics", "schedules")
"""Groups of plugins whose files may have been edited since."""


@dataclass(frozen=True)
class Source:
    """A checkpoint of another run.

    Attributes:
        label: ``RUN@STEP``.
        place: URL of the run's folder, and the checkpoint's name.
    """

    label: str
    place: tuple[str, str]


def continued_from(prepared: Prepared, storage: Folder, run: str) -> Source:
    """The last checkpoint of ``run``, if the prepared job can go on from it.

    Raises:
        InputError: no such run, no checkpoint, or the job differs where it must not.
    """
    folder, record = find_run(storage, run)
    checkpoint = CheckpointStore(folder).latest()
    if checkpoint is None:
        raise InputError(
            Problem(path="--resume", message="the run has no checkpoint", got=record.name)
        )
    state = checkpoint.state
    before: Mapping[str, Any] = state["job"]
    now = public_values(prepared.job.spec)
    problems = [
        Problem(
            path=path,
            message=f"cannot change when continuing {record.name}",
            got=new,
            allowed=repr(old),
        )
        for path, old, new in _differences(before, now)
    ]
    problems += _edited(prepared, state["plugin_files"], record.name)
    same_source = not any(problem.path.startswith("data") for problem in problems)
    if same_source and state["fingerprint"] != prepared.fingerprint:
        message = f"the samples are not those that {record.name} was trained on"
        problems.append(Problem(path="data.source", message=message))
    if problems:
        raise InputError([prepared.job.locate(problem) for problem in problems])
    return Source(f"{record.name}@{checkpoint.step}", (folder.url, checkpoint.name))


def _edited(prepared: Prepared, before: Mapping[str, str], run: str) -> Iterator[Problem]:
    """The plugin files whose content changed since ``run``."""
    job = prepared.job
    plugins = [p for p in plugins_of(job) if p.group not in FREE_GROUPS]
    for name, digest in digests(plugin_files(job.base, plugins)).items():
        if before.get(name, digest) != digest:
            mend = f"undo the edit, or start a run of its own without --resume {run}"
            yield Problem("--resume", f"{name} was edited since {run} was trained", mend=mend)


def _differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if path in FREE or before == now:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key), now.get(key), inner)
        return
    yield path, before, now
