"""The runs of a storage at a glance: status, metrics, and what MLflow has of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trainwright.errors import InputError, Problem
from trainwright.runs import RESOLVED, RunRecord, Unit, list_runs
from trainwright.secrets import mask
from trainwright.storage import Folder, cause_of, how_to_reach
from trainwright.suggest import nearest, one_of
from trainwright.tracking import TrackingState, read_state

Sent = Literal["off", "all", "part", "none", "sending"]


@dataclass(frozen=True)
class Tracked:
    """What MLflow has of a run.

    Attributes:
        sent: ``off`` without tracking; ``all``, ``part`` or ``none`` of the rows; ``sending``
            while the run's own sender is still at work.
        left: rows that were not sent, as far as they were counted.
        uri: MLflow tracking URI, any password replaced; empty when nothing was sent yet.
        run_id: the run in MLflow.
        error: why rows are left.
    """

    sent: Sent
    left: int = 0
    uri: str = ""
    run_id: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class RunOverview:
    """One line of ``trainwright runs``.

    Attributes:
        run: the run's name.
        status: ``running``, ``finished``, ``failed`` or ``interrupted``; a run whose process died
            on this machine counts as interrupted.
        steps: updates or rounds finished, as last recorded.
        total_steps: updates or rounds planned.
        unit: which of the two they are.
        metrics: newest value of each evaluated metric, and the last training loss.
        started: seconds since 1970.
        seconds: training time over all attempts.
        workers: worker processes of the newest attempt; 0 for none on Ray.
        range_of_workers: the fewest and the most that the job allows, where they differ.
        storage: URL of the run's folder.
        tracking: what MLflow has of it.
        error: why it failed, first line.
        resumed_from: ``RUN@STEP`` when it was continued from another run.
        parent: the comparison or sweep that it is part of.
    """

    run: str
    status: str
    steps: int
    total_steps: int
    unit: Unit
    metrics: dict[str, float]
    started: float
    seconds: float
    workers: int
    range_of_workers: list[int] | None
    storage: str
    tracking: Tracked
    error: str | None
    resumed_from: str | None
    parent: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def open_storage(url: str | Path, path: str = "--storage") -> Folder:
    """The storage at ``url``; a relative folder stands in the working directory.

    Args:
        url: folder, or any fsspec URL.
        path: where the URL was written, for the message.

    Raises:
        InputError: nothing can serve the URL, or its store does not answer.
    """
    text = str(url)
    folder = Folder(text if "://" in text else str(Path(text).expanduser().absolute()))
    try:
        folder.fs  # noqa: B018
    except (ImportError, ValueError) as error:
        mend = how_to_reach(text, error)
        raise InputError(
            Problem(path, str(error), text, "a folder or an fsspec URL", mend=mend)
        ) from error
    if not folder.is_local:
        _answers(folder, path)
    return folder


def _answers(folder: Folder, path: str) -> None:
    try:
        folder.names()
    except Exception as error:  # whatever the store's client raises
        message = f"cannot reach {folder.url}: {cause_of(error)}"
        raise InputError(Problem(path, message, mend=how_to_reach(folder.url, error))) from error


def overview(storage: Folder) -> list[RunOverview]:
    """All runs under ``storage``, newest first."""
    return [_line(folder, record) for folder, record in list_runs(storage)]


def folded(found: Sequence[RunOverview]) -> list[RunOverview]:
    """The runs without those that are part of another one in the list."""
    names = {entry.run for entry in found}
    return [entry for entry in found if entry.parent not in names]


def parts_of(found: Sequence[RunOverview], whole: str) -> list[RunOverview]:
    """The runs that are part of the comparison or sweep named, or begun, by ``whole``.

    Raises:
        InputError: no run that has parts is called so, or several are.
    """
    wholes = list(dict.fromkeys(entry.parent for entry in found if entry.parent is not None))
    matches = [whole] if whole in wholes else [name for name in wholes if name.startswith(whole)]
    if len(matches) == 1:
        return [entry for entry in found if entry.parent == matches[0]]
    message = "several begin so" if matches else "no run that consists of others is called so"
    known = one_of(matches or wholes) or "there is none here"
    near = nearest(whole, wholes)
    raise InputError(Problem("--parent", message, whole, allowed=known, nearest=near))


def tracked(folder: Folder, record: RunRecord) -> Tracked:
    """What MLflow has of a run."""
    if not _tracking_enabled(folder):
        return Tracked("off")
    state = read_state(folder)
    if state is None:
        return Tracked("sending" if record.true_status == "running" else "none")
    return Tracked(_sent(state, record), state.left, state.uri, state.mlflow_run_id, state.error)


def unsent_remark(folder: Folder, record: RunRecord) -> str | None:
    """A sentence on rows that MLflow lacks and how to send them; None when it has all."""
    state = tracked(folder, record)
    if state.sent in ("off", "all", "sending"):
        return None
    what = f"{state.left:,} rows" if state.left else "some rows"
    reason = f" ({state.error.splitlines()[0]})" if state.error else ""
    command = sync_command(folder, record.name)
    return f"MLflow lacks {what}{reason}; nothing is lost: `{command}` sends them"


def sync_command(folder: Folder, name: str) -> str:
    """The command that sends a run's unsent rows, from the present working directory."""
    return f"trainwright sync {name}{storage_option(parent(folder))}"


def storage_option(storage: Folder) -> str:
    """`` --storage URL`` where the storage is not the default one of the working directory."""
    return "" if storage.url == open_storage("runs").url else f" --storage {shown(storage.url)}"


def parent(folder: Folder) -> Folder:
    """The storage that holds a run's folder."""
    return Folder(folder.url.rstrip("/").rsplit("/", 1)[0])


def shown(url: str) -> str:
    """A local path relative to the working directory where it lies below, else the URL."""
    if "://" in url:
        return mask(url)
    path = Path(url)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else url


def _line(folder: Folder, record: RunRecord) -> RunOverview:
    return RunOverview(
        run=record.name,
        status=record.true_status,
        steps=record.steps,
        total_steps=record.total_steps,
        unit=record.unit,
        metrics=dict(record.metrics),
        started=record.started,
        seconds=record.seconds,
        workers=record.workers,
        range_of_workers=_range_of_workers(folder),
        storage=folder.url,
        tracking=tracked(folder, record),
        error=record.error.splitlines()[0] if record.error else None,
        resumed_from=record.resumed_from,
        parent=record.parent,
    )


def _sent(state: TrackingState, record: RunRecord) -> Sent:
    if state.phase == "done":
        return "all"
    if state.phase != "behind" and record.true_status == "running":
        return "sending"
    return "part" if state.sent else "none"


def _tracking_enabled(folder: Folder) -> bool:
    job = folder.read_object(RESOLVED)
    tracking = (job or {}).get("tracking", {})
    return job is not None and isinstance(tracking, dict) and bool(tracking.get("enabled", True))


def _range_of_workers(folder: Folder) -> list[int] | None:
    match folder.read_object(RESOLVED):
        case {"cluster": {"workers": [int(least), int(most)]}} if least < most:
            return [least, most]
    return None
