"""Running the job of a trial: trained in this process, or whole as a run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from trainwright.data.loading import Splits, load_splits
from trainwright.errors import InputError, JobError
from trainwright.job import Job
from trainwright.job.check import check_plugins, plugins_of
from trainwright.job.identity import canonical, run_name
from trainwright.job.models import TrainJob
from trainwright.orchestration.light import Errand, train_light
from trainwright.orchestration.reach import adopt
from trainwright.orchestration.signals import StopRequest
from trainwright.plugins import plugin_files
from trainwright.search.jobs import TrialJob, TrialJobs
from trainwright.search.trialling.course import Report, TrialMonitor, recorded
from trainwright.search.trialling.runner import run_whole
from trainwright.storage import Folder

_LONGEST_LABEL = 40
"""Of 63 characters that a job's name may have; the rest tells the sweep and the trial."""


@dataclass
class Kit:
    """What every trial of a sweep needs; travels to the processes that run them.

    Attributes:
        jobs: makes their jobs.
        parent: name of the sweep's own run.
        storage: URL under which runs are kept.
        retries: how often a trial that failed is tried again.
        waits: whether trials wait at each evaluation for the word to go on.
        needs_checkpoints: whether others may go on from the checkpoint of an evaluation.
        cpus: share of the machine that a trial's process has.
        uses_gpu: whether it has a GPU.
        stores: environment variables that say how object stores are reached.
        tracking_uri: that of the sweep, whatever the working directory; None for the default.
        loaded: data of the newest trial in this process, and what names it.
    """

    jobs: TrialJobs
    parent: str
    storage: str
    retries: int
    waits: bool
    needs_checkpoints: bool
    cpus: float
    uses_gpu: bool
    stores: dict[str, str]
    tracking_uri: str | None = None
    loaded: tuple[str, Splits] | None = None

    @cached_property
    def folder(self) -> Folder:
        """Where runs are kept."""
        adopt(self.stores)
        return Folder(self.storage)

    def label_of(self, number: int) -> str:
        """First part of the name of a trial's run, which no other sweep's trials have."""
        label = self.jobs.sweep.spec.name
        return f"{label[:_LONGEST_LABEL]}{self.parent[len(label) :]}-{number}"

    def placed(self, job: Job) -> Job:
        """A job for another process, whose working directory is not that of the sweep."""
        tracking = job.spec.tracking.model_copy(update={"uri": self.tracking_uri})
        own = {"storage": self.storage, "tracking": tracking}
        return replace(job, spec=job.spec.model_copy(update=own))

    def splits(self, job: Job) -> Splits:
        """A job's data, kept for the next trial; streams are opened anew for each."""
        data, seed = job.spec.data, job.spec.seed
        key = canonical({"data": data.model_dump(mode="json"), "seed": seed})
        if self.loaded is None or self.loaded[0] != key or data.streaming is not None:
            self.loaded = None  # two would not fit where one does
            self.loaded = key, load_splits(data, base=job.base, workers=1, seed=seed)
        return self.loaded[1]


@dataclass(frozen=True)
class Task:
    """One trial, or a part of it with values of its own.

    Attributes:
        kit: what all trials need.
        number: of the trial.
        changes: dotted path in the base -> value.
        start_from: URL of another run's folder and a checkpoint, from which it begins.
    """

    kit: Kit
    number: int
    changes: Mapping[str, Any]
    start_from: tuple[str, str] | None = None

    def work(self, monitor: TrialMonitor, stop: StopRequest) -> Report:
        """Run the trial to its end; a failure is tried again as often as allowed."""
        failures: list[str] = []
        try:
            trial = self.kit.jobs.make(self.changes, label=self.kit.label_of(self.number))
        except InputError as error:
            return _refused(error)
        while True:
            report = self._attempt(trial, monitor, stop)
            report.failures = failures
            again = report.state == "failed" and not report.is_final
            if not again or len(failures) >= self.kit.retries or monitor.stop_requested:
                return report
            failures.append(report.error or "")

    def _attempt(self, trial: TrialJob, monitor: TrialMonitor, stop: StopRequest) -> Report:
        spec = trial.job.spec
        is_light = isinstance(spec, TrainJob) and spec.model.weights is None
        try:
            with trial.inner.told():
                if is_light and spec.cluster.max_workers == 0:
                    return self._light(trial.job, monitor)
                job = self.kit.placed(trial.job)
                whole = (job, self.kit.parent, self.start_from, self.kit.stores)
                return run_whole(*whole, monitor, stop)
        except InputError as error:
            return _refused(error)

    def _light(self, job: Job, monitor: TrialMonitor) -> Report:
        problems = check_plugins(job)
        if problems:
            raise JobError(problems)
        files = plugin_files(job.base, plugins_of(job))
        further = {}
        if self.start_from is not None:
            url, checkpoint = self.start_from
            further["start_from"] = [url.rstrip("/").rsplit("/", 1)[-1], checkpoint]
        splits = self.kit.splits(job)
        name = run_name(
            job, data_fingerprint=splits.fingerprint, plugin_files=files, further=further
        )
        folder = self.kit.folder / name
        errand = Errand.of(job, folder, self.kit.parent, files, start_from=self.start_from)
        monitor.show({"run": name})
        ended = train_light(errand, monitor, splits)
        report = recorded(folder, ended.status)
        if ended.cause == "refused":
            report.state, report.error = "refused", ended.error
        elif ended.status == "failed":
            # Numbers that are not finite would come again.
            report.error, report.is_final = ended.error, ended.cause == "diverged"
        return report


def _refused(error: InputError) -> Report:
    return Report(state="refused", error="; ".join(str(problem) for problem in error.problems))
