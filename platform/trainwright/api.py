"""The command line's verbs as functions, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.orchestration.validation import Validation
from trainwright.overview import RunOverview, open_storage, overview, tracked
from trainwright.runs import RunRecord, find_run
from trainwright.storage import Folder

if TYPE_CHECKING:
    from trainwright.differing import RunDiff
    from trainwright.job import Job
    from trainwright.orchestration.evaluating import Evaluated
    from trainwright.orchestration.exporting import Exported
    from trainwright.orchestration.predicting import Predicted
    from trainwright.orchestration.request import Request
    from trainwright.orchestration.result import RunResult
    from trainwright.tracking import SyncReport

Watch = Callable[[Mapping[str, Any]], None]


def run(
    job: str | Path | Mapping[str, Any] | Job[Any],
    *,
    overrides: Iterable[str] = (),
    fresh: bool = False,
    resume: str | None = None,
    placebo: bool = False,
    progress: bool | Watch = False,
) -> RunResult:
    """Run a job of any kind, or continue it where an earlier run of the same job was left.

    Nothing is written to standard output. It may be called from any thread; only in the main
    one does Ctrl-C write a checkpoint before it stops.

    Args:
        job: a job file, the same as a dictionary, or a loaded job.
        overrides: values to change, ``a.b=value`` each; not for a loaded job.
        fresh: start anew beside an earlier run of the same name, which is kept.
        resume: another run to continue from under this (changed) job.
        placebo: take the method out of a comparison, to see that its expectations notice.
        progress: True shows it on standard error as the command line does; a function is called
            a few times a second with the newest values (``step``, ``total_steps``, ``loss``,
            ``samples_per_second``, ``metrics``).

    Raises:
        InputError: the job cannot run; every problem is in its ``problems``.
        RunError: training failed; the message holds the cause.
        Interrupted: training was stopped; the same call continues it.

    Example:
        >>> result = run("jobs/quickstart.yaml", overrides=["cluster.workers=0"])  # doctest: +SKIP
        >>> result.metrics["validation/accuracy"]  # doctest: +SKIP
        0.9861
    """
    loaded = load(job, overrides)
    from trainwright.job.kinds import kind_of
    from trainwright.orchestration.request import Request

    wanted = Request(fresh=fresh, resume=resume, placebo=placebo)
    if progress is True:
        return _run_with_view(loaded, wanted)
    return kind_of(loaded).run(loaded, replace(wanted, show=progress or None))


def validate(
    job: str | Path | Mapping[str, Any] | Job[Any], *, overrides: Iterable[str] = ()
) -> Validation:
    """Check a job whole, data and plugins included; nothing is started or written.

    Args:
        job: a job file, the same as a dictionary, or a loaded job.
        overrides: values to change, ``a.b=value`` each; not for a loaded job.

    Raises:
        InputError: it would not run; every problem is in its ``problems``.
    """
    loaded = load(job, overrides)
    from trainwright.job.kinds import kind_of

    return kind_of(loaded).validate(loaded)


def list_runs(storage: str | Path = "runs") -> list[RunOverview]:
    """All runs under a storage folder, newest first.

    Args:
        storage: folder or fsspec URL.

    Raises:
        InputError: nothing can serve the URL.
    """
    return overview(open_storage(storage))


def diff(first: str, second: str, *, storage: str | Path = "runs") -> RunDiff:
    """What sets two runs apart: values of their jobs, plugin files, results.

    Args:
        first: a run's name, or a beginning of it that no other run has.
        second: another one's.
        storage: folder or fsspec URL that holds both.

    Raises:
        InputError: there is no such run.
    """
    from trainwright.differing import differ

    return differ(open_storage(storage), first, second)


def export(
    run: str,
    *,
    storage: str | Path = "runs",
    to: str | Path | None = None,
    checkpoint: str | int | None = None,
    trust_run_code: bool = False,
) -> Exported:
    """Write a run's weights as safetensors, under the names of the model's state dict.

    Args:
        run: the run's name, or a beginning of it that no other run has.
        storage: folder or fsspec URL that holds the run.
        to: folder or fsspec URL to write to; default: ``export`` in the run's folder.
        checkpoint: ``best``, ``last`` or a step; default: best if the job monitors a metric.
        trust_run_code: run plugin files and import paths that come with the run, though this
            user did not run them on this machine before; remembered.

    Raises:
        InputError: there is no such run or checkpoint.
        RunError: the run has no checkpoint yet.
        CheckpointError: the checkpoint is damaged.
    """
    from trainwright.orchestration.exporting import export_run

    folder, _ = find_run(open_storage(storage), run)
    target = open_storage(to, "--to") if to is not None else None
    return export_run(folder, checkpoint, target, trust_run_code)


def evaluate(
    run: str,
    *,
    storage: str | Path = "runs",
    data: str | Path | None = None,
    checkpoint: str | int | None = None,
    trust_run_code: bool = False,
) -> Evaluated:
    """Measure a trained run again, in this process, in float32.

    Args:
        run: the run's name, or a beginning of it that no other run has.
        storage: folder or fsspec URL that holds the run.
        data: file, URL or dataset with the columns of the training data; default: the samples
            that the run's job holds out.
        checkpoint: ``best``, ``last`` or a step; default: best if the job monitors a metric.
        trust_run_code: run plugin files and import paths that come with the run, though this
            user did not run them on this machine before; remembered.

    Raises:
        InputError: no such run or checkpoint, or the samples do not fit it.
        RunError: the run has no checkpoint yet, or its own data has changed since.
        CheckpointError: the checkpoint is damaged.
    """
    from trainwright.orchestration.evaluating import evaluate_run

    folder, _ = find_run(open_storage(storage), run)
    return evaluate_run(folder, None if data is None else str(data), checkpoint, trust_run_code)


def predict(
    run: str,
    *,
    data: str | Path,
    out: str | Path,
    storage: str | Path = "runs",
    checkpoint: str | int | None = None,
    trust_run_code: bool = False,
) -> Predicted:
    """Write a trained run's outputs for other samples as a parquet file.

    Args:
        run: the run's name, or a beginning of it that no other run has.
        data: file, URL or dataset with the columns that the model reads; targets may be missing.
        out: path or URL of the parquet file.
        storage: folder or fsspec URL that holds the run.
        checkpoint: ``best``, ``last`` or a step; default: best if the job monitors a metric.
        trust_run_code: run plugin files and import paths that come with the run, though this
            user did not run them on this machine before; remembered.

    Raises:
        InputError: no such run or checkpoint, or the samples do not fit it.
        RunError: the run has no checkpoint yet.
        CheckpointError: the checkpoint is damaged.
    """
    from trainwright.orchestration.predicting import predict_run

    folder, _ = find_run(open_storage(storage), run)
    return predict_run(folder, str(data), str(out), checkpoint, trust_run_code)


def sync(
    run: str | None = None,
    *,
    storage: str | Path = "runs",
    uri: str | None = None,
    timeout_s: float = 60.0,
    progress: Callable[[str, int], None] | None = None,
) -> dict[str, SyncReport]:
    """Send to MLflow what the journals of runs hold and MLflow lacks; repeating it is harmless.

    Args:
        run: a run's name; None for all runs whose jobs have tracking enabled.
        storage: folder or fsspec URL that holds the runs.
        uri: MLflow tracking URI; default: the one that the run used.
        timeout_s: seconds to try, per run.
        progress: called with a run's name and the number of its points confirmed so far.

    Returns:
        The run's name -> what was sent and what is left.

    Raises:
        InputError: there is no such run.
    """
    from trainwright.tracking import sync as sync_one

    place = open_storage(storage)
    folders = _tracked_runs(place) if run is None else [find_run(place, run)[0]]
    reports = {}
    for folder in folders:
        name = folder.url.rstrip("/").rsplit("/", 1)[-1]

        def show(sent: int, name: str = name) -> None:
            if progress is not None:
                progress(name, sent)

        reports[name] = sync_one(folder, uri=uri, timeout_s=timeout_s, progress=show)
    return reports


def _tracked_runs(storage: Folder) -> list[Folder]:
    """The runs with a journal whose jobs have tracking enabled."""
    from trainwright.tracking.syncing import runs_with_journal

    found = []
    for name in runs_with_journal(storage):
        folder = storage / name
        record = RunRecord.load(folder)
        if record is not None and tracked(folder, record).sent != "off":
            found.append(folder)
    return found


def load(job: str | Path | Mapping[str, Any] | Job[Any], overrides: Iterable[str] = ()) -> Job[Any]:
    """A job from whatever stands for one.

    Raises:
        JobError: it is no job.
        ValueError: overrides for a job that is loaded already.
    """
    from trainwright.job import Job

    if isinstance(job, Job):
        if tuple(overrides):
            raise ValueError("give the overrides to Job.load; this job is loaded already")
        return job
    if isinstance(job, Mapping):
        return Job.from_dict(job, overrides=overrides)
    return Job.load(job, overrides)


def _run_with_view(job: Job[Any], request: Request) -> RunResult:
    import sys

    from trainwright.cli.terminal import console, lasting
    from trainwright.job.kinds import kind_of

    kind = kind_of(job)
    with (
        lasting(sys.stderr, 2) as stream,
        kind.make_screen(job).view(console(stream), "the job", False) as view,
    ):
        return kind.run(job, replace(request, show=view.show, started=view.started))
