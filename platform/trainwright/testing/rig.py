"""What checks train on: a folder for runs, and worker processes, both kept over many checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from trainwright.job import Job
from trainwright.job.check import plugins_of
from trainwright.orchestration.prepare import Prepared, prepare
from trainwright.plugins import plugin_files
from trainwright.testing.setups import LOCAL, Setup
from trainwright.testing.trace import Trace
from trainwright.testing.workers import Workers
from trainwright.training.worker import WorkOrder, work


class Rig:
    """Trains jobs and remembers what came out, so that checks share runs and processes.

    Use it as a context manager; at the end the processes that it started are ended.

    Args:
        folder: where runs are kept.
        workers: processes to use, by their number; others are started when first needed.
    """

    def __init__(self, folder: str | Path, workers: Mapping[int, Workers] | None = None) -> None:
        self.folder = Path(folder)
        self._given = dict(workers or {})
        self._started: dict[int, Workers] = {}
        self._traces: dict[str, Trace] = {}
        self._prepared: dict[str, Prepared] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for group in self._started.values():
            group.close()

    def job(self, values: Mapping[str, Any], setup: Setup = LOCAL, base: Path | None = None) -> Job:
        """A job of plain values on a setup.

        Raises:
            JobError: the values are no job.
        """
        return Job.from_dict({**values, **setup.sections(), "storage": str(self.folder)}, base)

    def prepare(
        self, values: Mapping[str, Any], setup: Setup = LOCAL, base: Path | None = None
    ) -> Prepared:
        """Check a job as ``trainwright validate`` does; the same job is checked once.

        Raises:
            InputError: it would not run.
        """
        job = self.job(values, setup, base)
        key = _key(job)
        if key not in self._prepared:
            self._prepared[key] = prepare(job)
        return self._prepared[key]

    def train(
        self,
        values: Mapping[str, Any],
        setup: Setup = LOCAL,
        base: Path | None = None,
        start_from: tuple[str, str] | None = None,
    ) -> Trace:
        """Train a job, by the code of a run's workers; the same job is trained once.

        Args:
            values: the job as plain values.
            setup: engine, stage and workers.
            base: folder against which plugin files are found.
            start_from: folder of another run, and the name of its checkpoint to go on from.
        """
        job = self.job(values, setup, base)
        key = _key(job, start_from)
        if key not in self._traces:
            self._traces[key] = self._train(job, setup, key, start_from)
        return self._traces[key]

    def _train(self, job: Job, setup: Setup, key: str, start_from: tuple[str, str] | None) -> Trace:
        url = str(self.folder / f"{setup}-{key}")
        order = WorkOrder(
            job=job.spec.model_dump(mode="json", by_alias=True),
            base=str(job.base),
            run_url=url,
            plugin_files=plugin_files(job.base, plugins_of(job)),
            start_from=start_from,
        )
        if setup.engine == "local":
            work(order, None)
        else:
            self._workers(setup.workers).run(_work, order)
        return Trace.read(url)

    def _workers(self, size: int) -> Workers:
        if size in self._given:
            return self._given[size]
        if size not in self._started:
            self._started[size] = Workers(size)
        return self._started[size]


def _key(job: Job, start_from: tuple[str, str] | None = None) -> str:
    text = json.dumps([job.spec.model_dump(mode="json"), str(job.base), start_from])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _work(order: WorkOrder) -> None:
    """Runs on every worker; what it returns must not be the outcome, which only worker 0 needs."""
    work(order, None)
