"""The process that sends a run to MLflow, beside the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainwright.job import Job
from trainwright.orchestration.live import try_to_save
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking import ShipperProcess, default_uri


def driver_log(folder: Folder) -> Path:
    """Where the driver's and the libraries' output goes."""
    if folder.is_local:
        return folder.local_path() / "logs" / "driver.log"
    import tempfile

    return Path(tempfile.gettempdir()) / f"trainwright-{folder.url.rsplit('/', 1)[-1]}.log"


@contextlib.contextmanager
def shipping(
    job: Job[Any], storage: Folder, folder: Folder, record: RunRecord
) -> Iterator[ShipperProcess | None]:
    """A shipper process beside the run; it outlives a crash of this one and tells the truth."""
    tracking = job.spec.tracking
    if not tracking.enabled:
        yield None
        return
    log = driver_log(folder).with_name("shipper.log") if folder.is_local else None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    shipper = ShipperProcess(
        folder,
        uri=tracking.uri or default_uri(storage),
        experiment=tracking.experiment or job.spec.name,
        drain_timeout_s=tracking.drain_timeout_s,
        log=log,
    )
    try:
        yield shipper
    finally:
        shipper.finish()
        record.mlflow = _mlflow(folder, record)
        try_to_save(record, folder)


def _mlflow(folder: Folder, record: RunRecord) -> dict[str, str | None]:
    from trainwright.tracking import read_state

    state = read_state(folder)
    if state is None:
        return record.mlflow
    return {"run_id": state.mlflow_run_id, "uri": state.uri, "experiment": state.experiment}
