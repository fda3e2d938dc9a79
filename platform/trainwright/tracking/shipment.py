"""One run's way to MLflow: find or begin the MLflow run, send rows, set its status, add files."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from trainwright.errors import TrackingError
from trainwright.runs import RunRecord
from trainwright.secrets import mask
from trainwright.storage import Folder
from trainwright.tracking.artifacts import (
    job_files,
    log_tails,
    plot_files,
    result_files,
    upload_new,
)
from trainwright.tracking.family import labels_of
from trainwright.tracking.origin import origin_tags
from trainwright.tracking.outbox import Outbox
from trainwright.tracking.params import flatten
from trainwright.tracking.settings import TrackingSettings, read_job, run_name, storage_of
from trainwright.tracking.state import Phase, TrackingState, read_state
from trainwright.tracking.survey import Rewind
from trainwright.tracking.target import MlflowTarget, RunGoneError
from trainwright.tracking.uri import fingerprint

_log = logging.getLogger(__name__)

ID_FILE = "journal/id"
ID_TAG = "trainwright.id"


class Shipment:
    """Sends one run; every method may be repeated after a ``TrackingError``.

    What the server has confirmed is in ``state``, written to ``tracking.json`` after each batch.
    An unconfirmed batch is sent again with the same timestamps, which the server stores once.

    Args:
        folder: the run folder.
        settings: server and experiment.
        directory: the user's working directory, for the git state.

    Attributes:
        num_sent: points confirmed since this object was made.
    """

    def __init__(self, folder: Folder, settings: TrackingSettings, directory: Path) -> None:
        self.folder = folder
        self.target = MlflowTarget(settings.uri)
        self.state = _state_for(folder, settings)
        self.num_sent = 0
        self._directory = directory
        self._outbox = Outbox(folder, self.state.covered)
        self._is_open = False
        self._rewinds_told: list[Rewind] = []
        self._in_doubt = self.state.in_doubt
        self._ask_server = False

    @property
    def run_id(self) -> str:
        """The MLflow run's id.

        Raises:
            TrackingError: there is none yet.
        """
        if self.state.mlflow_run_id is None:
            raise TrackingError("the MLflow run does not exist yet")
        return self.state.mlflow_run_id

    def open(self, *, status: str | None = "RUNNING") -> None:
        """Find the MLflow run or begin one; complete its tags and parameters.

        Args:
            status: set in MLflow; None leaves it as it is.
        """
        if self._is_open:
            return
        tags = self._tags()
        if self.state.mlflow_run_id is not None:
            self._confirm_or_forget()
        if self.state.mlflow_run_id is None:
            self._find_or_create(tags)
        self.target.set_tags(self.run_id, tags)
        if status is not None:
            self.target.set_status(self.run_id, status)
            self.state.status = status
        self._log_params()
        self._is_open = True
        self.state.in_doubt = True
        self.save()

    def send(self, limit: int) -> int:
        """Send the next batch; the number of points that went, 0 when nothing is left.

        Args:
            limit: points per batch, at most 1000.
        """
        while True:
            self._refresh()
            batch = self._outbox.next_batch(limit)
            if batch.points:
                break
            self._outbox.commit(batch)
            if not batch.covers:
                self._in_doubt = False
                return 0
        try:
            refused = self.target.send(self.run_id, batch.points)
        except RunGoneError:
            self._forget()
            raise
        except TrackingError:
            self._in_doubt = True
            raise
        self._outbox.commit(batch)
        self.num_sent += len(batch.points) - len(refused)
        self.state.sent += len(batch.points) - len(refused)
        self.state.refused += len(refused)
        if refused:
            self.state.refused_why = f"{refused[-1][0].key}: {refused[-1][1]}"
        self.save()
        return len(batch.points)

    def finish(self, status: str, ended_at: int | None) -> None:
        """Set the final status."""
        self.target.set_status(self.run_id, status, ended_at)
        self.state.status = status
        self.save()

    def upload(self, *, final: bool) -> None:
        """Upload the job and, at the end, plots and (after a failure) the ends of the logs."""
        self._upload(job_files(self.folder))
        if final:
            self._upload(plot_files(self.folder))
            self._upload(result_files(self.folder))
            if self.state.status == "FAILED":
                self._upload(log_tails(self.folder))

    def count_left(self) -> int:
        """Points of the surviving lineage that the server does not have yet."""
        self._outbox.refresh()
        return self._outbox.count_left()

    def conclude(self, phase: Phase, left: int) -> None:
        """Write down how the sending ended."""
        self.state.phase = phase
        self.state.left = left
        self.state.in_doubt = self._in_doubt
        self.save()

    def save(self) -> None:
        """Write ``tracking.json``; a store that fails is logged, since rows may be sent twice."""
        try:
            self.state.write(self.folder)
        except Exception as error:  # any storage client; the next batch tries again
            _log.warning("tracking.json cannot be written: %s", error)

    @property
    def attempt(self) -> int:
        """The newest attempt in the journal."""
        return self._outbox.attempt

    def _tags(self) -> dict[str, str]:
        job = read_job(self.folder)
        return {
            **origin_tags(self._directory),
            "mlflow.source.name": run_name(self.folder),
            "trainwright.run": run_name(self.folder),
            "trainwright.kind": str(job.get("kind", "train")),
            "trainwright.storage": mask(self.folder.url),
            ID_TAG: _journal_id(self.folder),
            **_parent_tags(self.folder),
        }

    def _confirm_or_forget(self) -> None:
        try:
            self.target.get_run(self.run_id)
        except RunGoneError as error:
            _log.warning("%s; the run is sent anew", error)
            self._forget()

    def _find_or_create(self, tags: dict[str, str]) -> None:
        experiment = self.target.experiment(self.state.experiment)
        found = self.target.find_run(experiment, ID_TAG, tags[ID_TAG])
        if found is None:
            found = self.target.create_run(experiment, _label(self.folder), tags)
        else:
            self._in_doubt = self.state.in_doubt = True
        self.state.mlflow_run_id = found
        self.save()

    def _hold_what_server_has(self) -> None:
        """Ask the server which values of dead branches it has.

        Needed when the answer to a request was lost, or ``tracking.json`` was, and steps were
        taken back before the same rows could be sent again.
        """
        first = min(rewind.from_step for rewind in self._outbox.rewinds)
        keys = self.target.get_run(self.run_id).metrics
        self._outbox.hold(self.target.history(self.run_id, keys, first))

    def _forget(self) -> None:
        """The server has nothing of this run (any more): begin from the first row."""
        self.state.mlflow_run_id = None
        self.state.status = None
        self.state.sent = 0
        self.state.covered.clear()
        self.state.artifacts.clear()
        self._outbox = Outbox(self.folder, self.state.covered)
        self._rewinds_told = []
        self._in_doubt = False
        self._is_open = False
        self.save()

    def _refresh(self) -> None:
        if self._outbox.refresh():
            self._ask_server = True
        rewinds = self._outbox.rewinds
        if self._ask_server and self._in_doubt and rewinds:
            self._hold_what_server_has()
        self._ask_server = False
        if rewinds != self._rewinds_told:
            kept = [asdict(rewind) for rewind in rewinds[-50:]]
            self.target.set_tags(self.run_id, {"trainwright.rewinds": json.dumps(kept)})
            self._rewinds_told = list(rewinds)

    def _log_params(self) -> None:
        """Add what MLflow lacks; it allows no change, so that changed ones become a tag."""
        wanted = flatten(read_job(self.folder))
        present = self.target.get_run(self.run_id).params
        missing = {key: value for key, value in wanted.items() if key not in present}
        changed = {k: v for k, v in wanted.items() if k in present and present[k] != v}
        if missing:
            self.target.log_params(self.run_id, missing)
        if changed:
            self.target.set_tags(
                self.run_id, {"trainwright.changed_params": json.dumps(changed, sort_keys=True)}
            )

    def _upload(self, files: Iterator[tuple[str, bytes]]) -> None:
        try:
            upload_new(self.target, self.run_id, files, self.state.artifacts)
        finally:
            self.save()


def _state_for(folder: Folder, settings: TrackingSettings) -> TrackingState:
    """The stored state; a fresh one for another server, since it has nothing of this run."""
    state = read_state(folder)
    digest = fingerprint(settings.uri)
    if state is not None and state.uri_hash == digest:
        state.error = None
        return state
    return TrackingState(uri=mask(settings.uri), uri_hash=digest, experiment=settings.experiment)


def _label(folder: Folder) -> str:
    """What MLflow calls a run: its name, or what the run that it is part of calls it."""
    name, record = run_name(folder), RunRecord.load(folder)
    if record is None or record.parent is None:
        return name
    return labels_of(storage_of(folder) / record.parent).get(name, name)


def _parent_tags(folder: Folder) -> dict[str, str]:
    """The tag under which MLflow shows a run below the one it is part of, once that is there."""
    record = RunRecord.load(folder)
    if record is None or record.parent is None:
        return {}
    parent = read_state(storage_of(folder) / record.parent)
    if parent is None or parent.mlflow_run_id is None:
        return {}
    return {"mlflow.parentRunId": parent.mlflow_run_id}


def _journal_id(folder: Folder) -> str:
    """The identity of a run's journal, made at the first question and kept beside it.

    The MLflow run carries it as a tag: it is found again when ``tracking.json`` is lost, and a
    run of the same name elsewhere is never mistaken for it.
    """
    try:
        return folder.read_bytes(ID_FILE).decode().strip()
    except FileNotFoundError:
        identity = uuid.uuid4().hex
        folder.write_bytes(ID_FILE, identity.encode())
        return identity
