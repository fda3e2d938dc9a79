"""The MLflow server as tracking sees it: bounded calls, three kinds of failure, nothing else.

MLflow is imported at the first connection, never at import time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.errors import TrackingError
from trainwright.secrets import mask
from trainwright.tracking.lock import exclusive
from trainwright.tracking.outbox import Point
from trainwright.tracking.params import safe_name
from trainwright.tracking.uri import sqlite_path

MAX_TAG = 5000
MAX_MESSAGE = 300
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class RunGoneError(TrackingError):
    """The MLflow run was deleted, or the server's database is another one."""


class RefusedError(TrackingError):
    """The server understood the request and will never accept it."""


@dataclass(frozen=True)
class RemoteRun:
    """What the server has of a run: its parameters and the names of its metrics."""

    params: Mapping[str, str]
    metrics: Sequence[str]


@contextmanager
def mlflow_environment(uri: str, timeout_s: float) -> Iterator[None]:
    """Environment under which MLflow neither retries for minutes nor reports home nor prints.

    Args:
        uri: tracking URI, for the parts of MLflow that read it from the environment.
        timeout_s: limit of one HTTP request, at least 1 second.
    """
    wanted = {
        **_ENVIRONMENT,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(timeout_s))),
        "MLFLOW_TRACKING_URI": uri,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class MlflowTarget:
    """Calls to one tracking server, each bounded by ``timeout_s`` and without retries.

    All methods raise ``TrackingError`` when the server cannot be reached or answers wrongly;
    ``RunGoneError`` and ``RefusedError`` where waiting will not help.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.timeout_s = 10.0
        self._client: Any = None

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is created when missing."""
        with self._call("experiment") as client:
            found = client.get_experiment_by_name(name)
            if found is None:
                place = _artifact_location(self.uri)
                return str(client.create_experiment(name, artifact_location=place))
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"the experiment {name!r} was deleted in MLflow; restore it or name another one"
            )
        return str(found.experiment_id)

    def find_run(self, experiment_id: str, tag: str, value: str) -> str | None:
        """The id of the active run that carries a tag."""
        with self._call("search") as client:
            runs = client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
        """Begin a run; its id."""
        with self._call("create run") as client:
            run = client.create_run(experiment_id, run_name=name, tags=_cut(tags))
        return str(run.info.run_id)

    def get_run(self, run_id: str) -> RemoteRun:
        """What the server has of a run.

        Raises:
            RunGoneError: it does not exist, or was deleted.
        """
        with self._call("get run") as client:
            run = client.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise RunGoneError(f"the MLflow run {run_id} was deleted")
        return RemoteRun(dict(run.data.params), list(run.data.metrics))

    def send(self, run_id: str, points: Sequence[Point]) -> list[tuple[Point, str]]:
        """Store points; sending the same ones again changes nothing.

        Returns:
            The points that the server will never accept, each with its reason.
        """
        refused = [(p, "the step has more than 63 bits") for p in points if abs(p.step) >= 2**63]
        if refused:
            points = [point for point in points if abs(point.step) < 2**63]
        try:
            self._log_metrics(run_id, points)
        except RefusedError as error:
            self.get_run(run_id)
            if len(points) == 1:
                return [*refused, (points[0], str(error))]
            half = len(points) // 2
            return refused + self.send(run_id, points[:half]) + self.send(run_id, points[half:])
        return refused

    def history(self, run_id: str, keys: Sequence[str], from_step: int) -> list[Point]:
        """The points that the server has for some metrics at ``from_step`` and later."""
        points = []
        for key in keys:
            with self._call("metric history") as client:
                metrics = client.get_metric_history(run_id, key)
            points += [
                Point(key, metric.value, metric.timestamp, metric.step)
                for metric in metrics
                if metric.step >= from_step
            ]
        return points

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Add parameters, none of which the run may have with another value."""
        with self._call("parameters") as client:
            from mlflow.entities import Param

            entities = [Param(key, value) for key, value in params.items()]
            client.log_batch(run_id, params=entities, synchronous=True)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; too long values are cut."""
        with self._call("tags") as client:
            from mlflow.entities import RunTag

            entities = [RunTag(key, value) for key, value in _cut(tags).items()]
            client.log_batch(run_id, tags=entities, synchronous=True)

    def set_status(self, run_id: str, status: str, ended_at: int | None = None) -> None:
        """Set ``RUNNING``, or a final status with its end in milliseconds since 1970."""
        with self._call("status") as client:
            if status == "RUNNING":
                client.update_run(run_id, status=status)
            else:
                client.set_terminated(run_id, status=status, end_time=ended_at)

    def upload(self, run_id: str, path: Path, folder: str | None) -> None:
        """Store a file among the run's artifacts, under ``folder``."""
        with self._call(f"artifact {path.name}") as client:
            client.log_artifact(run_id, str(path), folder)

    def upload_folder(self, run_id: str, path: Path, folder: str) -> None:
        """Store all files of a folder among the run's artifacts, under ``folder``."""
        with self._call(f"artifacts {folder}") as client:
            client.log_artifacts(run_id, str(path), folder)

    def _log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        with self._call("metrics") as client:
            from mlflow.entities import Metric

            entities = [Metric(safe_name(p.key), p.value, p.time, p.step) for p in points]
            client.log_batch(run_id, metrics=entities, synchronous=True)

    @contextmanager
    def _call(self, what: str) -> Iterator[Any]:
        with mlflow_environment(self.uri, self.timeout_s):
            try:
                if self._client is None:
                    self._client = _connect(self.uri)
                yield self._client
            except TrackingError:
                raise
            except Exception as error:  # MLflow, SQLAlchemy, requests and cloud clients all raise
                raise _translated(what, error) from error


def _connect(uri: str) -> Any:
    from mlflow import MlflowClient

    database = sqlite_path(uri)
    if database is None:
        return MlflowClient(tracking_uri=uri)
    # Two processes that set up one database break each other's tables, and one that is killed
    # while it does so leaves half of them: so one at a time, beside the place, then moved there.
    database.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(database.with_name(f".{database.name}.lock"), give_up=lambda: False):
        if not database.exists():
            fresh = database.with_name(f".{database.name}.new")
            for stale in database.parent.glob(f"{fresh.name}*"):  # its rollback journal, too
                stale.unlink()
            MlflowClient(tracking_uri=f"sqlite:///{fresh}").search_experiments(max_results=1)
            fresh.replace(database)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _artifact_location(uri: str) -> str | None:
    """Artifacts of a local database lie beside it, not in the working directory."""
    database = sqlite_path(uri)
    return None if database is None else (database.absolute().parent / "mlartifacts").as_uri()


def _translated(what: str, error: Exception) -> TrackingError:
    code = getattr(error, "error_code", None)
    text = mask(str(error).strip().split("\n", 1)[0]) or type(error).__name__
    if len(text) > MAX_MESSAGE:  # the cause stands at the end of what network clients say
        text = f"{text[: MAX_MESSAGE // 3]} … {text[-MAX_MESSAGE * 2 // 3 :]}"
    message = f"{what}: {text}"
    if code == "RESOURCE_DOES_NOT_EXIST":
        return RunGoneError(message)
    if code == "INVALID_PARAMETER_VALUE":
        return RefusedError(message)
    return TrackingError(message)


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value[:MAX_TAG] for key, value in tags.items()}
