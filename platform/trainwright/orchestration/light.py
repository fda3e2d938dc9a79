"""One run trained in this process, without what a single run does around its training.

Comparisons and sweeps train many small runs in processes that live on: checking the job, drawing
plots, exporting weights and a sender to MLflow for each would take longer than the training.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainwright.data.loading import Splits
from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.orchestration.anchoring import anchored
from trainwright.orchestration.kept_plugins import keep_plugin_files
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.orchestration.quiet import output_to
from trainwright.orchestration.reach import store_environment
from trainwright.orchestration.shipping import driver_log
from trainwright.orchestration.sole import sole_driver
from trainwright.runs import JOB, RESOLVED, RunRecord
from trainwright.secrets import mask, public_values
from trainwright.storage import Folder
from trainwright.training.guard import NumericsError
from trainwright.training.worker import WorkOrder, work

CHECKPOINT_PACE_S = 10.0
"""Between two checkpoints of a run whose job does not say how often it wants them. Small models
have epochs of milliseconds, and a checkpoint after each would take a quarter of the time."""

SECONDS_FOR_ORPHANS = 20.0
"""Processes of a comparison that was killed notice it and end within a few seconds."""


class Abandoned(BaseException):
    """Training is given up where it is, without a checkpoint; raised by a monitor."""


@dataclass(frozen=True)
class Errand:
    """A run to train, as plain values that travel to another process.

    Attributes:
        name: the run's name.
        parent: name of the run that this one is part of.
        order: what a worker needs.
        source: the job as YAML.
        resolved: the resolved job without passwords.
        total_steps: updates planned.
        stores: environment variables that say how object stores are reached.
    """

    name: str
    parent: str
    order: WorkOrder
    source: str
    resolved: dict[str, Any]
    total_steps: int
    stores: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        job: Job,
        folder: Folder,
        parent: str,
        plugin_files: Mapping[str, bytes],
        total_steps: int = 0,
        start_from: tuple[str, str] | None = None,
    ) -> Errand:
        """The errand of a job.

        Args:
            job: what to train.
            folder: the run's folder.
            parent: name of the run that this one is part of.
            plugin_files: the user's plugin files, relative path -> content.
            total_steps: updates planned, as far as known.
            start_from: URL of another run's folder, and the checkpoint to begin from.
        """
        is_wished = "checkpoint_every" in job.spec.training.model_fields_set
        order = WorkOrder(
            job=anchored(job.spec, job.base).model_dump(mode="json", by_alias=True),
            base=str(job.base),
            run_url=folder.url,
            plugin_files=dict(plugin_files),
            start_from=start_from,
            checkpoint_pace_s=0.0 if is_wished else CHECKPOINT_PACE_S,
        )
        return cls(
            name=folder.url.rstrip("/").rsplit("/", 1)[-1],
            parent=parent,
            order=order,
            source=job.source,
            resolved=public_values(job.spec),
            total_steps=total_steps,
            stores=store_environment(),
        )


@dataclass(frozen=True)
class Ended:
    """What became of an errand.

    Attributes:
        status: ``finished``, ``interrupted`` or ``failed``.
        error: why it failed, with the traceback; None otherwise.
        cause: of a failure: ``refused`` for a job that cannot run, ``diverged`` for numbers that
            are not finite, ``error`` for everything else.
    """

    status: str
    error: str | None = None
    cause: Literal["refused", "diverged", "error"] | None = None


def train_light(errand: Errand, monitor: LocalMonitor, splits: Splits | None = None) -> Ended:
    """Train one run to its end, or until ``monitor`` is asked to stop; an error is an answer.

    Args:
        errand: what to train; an earlier attempt is continued.
        monitor: takes the progress and the wish to stop.
        splits: its data, where this process has it already.
    """
    folder = Folder(errand.order.run_url)
    with contextlib.ExitStack() as stack:
        try:
            _become_sole_driver(folder, stack)
        except InputError as error:
            return Ended("failed", error.problems[0].message, "error")
        record = RunRecord.load(folder)
        if record is not None and record.status == "finished":
            return Ended("finished")
        return _train(errand, folder, record or RunRecord(errand.name), monitor, splits)


def _become_sole_driver(folder: Folder, stack: contextlib.ExitStack) -> None:
    """As ``sole_driver``, with patience for a process of a comparison that was killed."""
    until = time.monotonic() + SECONDS_FOR_ORPHANS
    while True:
        try:
            stack.enter_context(sole_driver(folder))
        except InputError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return


def _train(
    errand: Errand,
    folder: Folder,
    record: RunRecord,
    monitor: LocalMonitor,
    splits: Splits | None,
) -> Ended:
    _claim(errand, folder, record)
    before, began = record.seconds, time.monotonic()
    cause: Literal["refused", "diverged", "error"] | None = None
    try:
        with output_to(driver_log(folder)):
            outcome = work(errand.order, monitor, splits=splits)
        record.metrics, record.steps = outcome.metrics, outcome.steps
        record.total_steps, record.weights = outcome.total_steps, outcome.weights
        record.status = "finished" if outcome.complete else "interrupted"
    except (KeyboardInterrupt, Abandoned):
        record.status = "interrupted"
        _note_progress(record, monitor.progress())
        raise
    except Exception as error:  # one run's failure must not end the others
        record.status, cause = "failed", _cause(error)
        _note_progress(record, monitor.progress())
        record.error = mask(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        with contextlib.suppress(OSError), driver_log(folder).open("a") as log:
            log.write(record.error)
    finally:
        record.seconds = before + time.monotonic() - began
        record.finished = time.time()
        record.save(folder)
    return Ended(record.status, record.error, cause)


def _note_progress(record: RunRecord, progress: Mapping[str, Any]) -> None:
    """How far a run came that did not end by itself."""
    record.steps = int(progress.get("step", record.steps))
    record.total_steps = int(progress.get("total_steps", record.total_steps))
    record.metrics = dict(progress.get("metrics", record.metrics))


def _cause(error: Exception) -> Literal["refused", "diverged", "error"]:
    if isinstance(error, InputError):
        return "refused"
    return "diverged" if isinstance(error, NumericsError) else "error"


def _claim(errand: Errand, folder: Folder, record: RunRecord) -> None:
    record.name, record.total_steps = errand.name, errand.total_steps
    record.parent = record.parent or errand.parent
    record.base = errand.order.base
    record.claim()
    folder.write_bytes(JOB, mask(errand.source).encode())
    folder.write_json(RESOLVED, errand.resolved)
    record.save(folder)
    keep_plugin_files(folder, errand.order.plugin_files)
