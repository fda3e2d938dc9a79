"""The driver's handle on the shipper process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from trainwright.storage import Folder
from trainwright.tracking.state import TrackingState, read_state
from trainwright.tracking.uri import absolute_uri

_log = logging.getLogger(__name__)

_GRACE_S = 25.0
_RESTART_AFTER_S = 5.0
_MAX_RESTARTS = 5


class ShipperProcess:
    """Starts the shipper, restarts it when it breaks, and waits for it at the end.

    The process reads the status from ``run.json``, so the driver writes its final status there
    before it calls ``finish``. If the driver dies instead, the process notices by itself.
    Nothing here raises on account of tracking: a run without a shipper still has its journal,
    and ``trainwright sync`` sends it later.

    Args:
        folder: the run folder; ``resolved.json`` is expected to be there already.
        uri: MLflow tracking URI; handed over in the environment, for it may hold a password.
        experiment: MLflow experiment.
        drain_timeout_s: seconds that the end of the run may take to send what is left.
        log: file for the shipper's messages; discarded when None.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        uri: str,
        experiment: str,
        drain_timeout_s: float = 30.0,
        log: Path | None = None,
    ) -> None:
        self._folder = folder
        self._uri = absolute_uri(uri)
        self._experiment = experiment
        self._drain_timeout_s = drain_timeout_s
        self._log = log
        self._finishing = threading.Event()
        self._process = self._spawn()
        self._watcher = threading.Thread(target=self._watch, name="shipper", daemon=True)
        self._watcher.start()

    @property
    def uri(self) -> str:
        """The tracking URI, with its password if it has one."""
        return self._uri

    @property
    def pid(self) -> int | None:
        """The process id; None when it could not be started."""
        return self._process.pid if self._process is not None else None

    def state(self) -> TrackingState | None:
        """What the shipper last wrote about itself; None when that cannot be read."""
        try:
            return read_state(self._folder)
        except Exception as error:  # any storage client, on account of which no run may fail
            _log.warning("the tracking state cannot be read: %s", error)
            return None

    def finish(self) -> TrackingState | None:
        """Let the shipper drain and end; the state it leaves.

        Blocks for at most the drain timeout plus a grace for plots and uploads.
        """
        if self._finishing.is_set():
            return self.state()
        self._finishing.set()
        self._watcher.join(2 * _RESTART_AFTER_S)
        if self._process is None or self._process.poll() is not None:
            self._replace()
        process = self._process
        if process is None:
            return self.state()
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(self._drain_timeout_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            _log.warning("the shipper did not end in time; trainwright sync sends the rest")
            process.kill()
            process.wait()
        return self.state()

    def _watch(self) -> None:
        restarts = 0
        while not self._finishing.wait(_RESTART_AFTER_S):
            if self._process is not None and self._process.poll() is None:
                continue
            if restarts == _MAX_RESTARTS:
                _log.warning("the shipper keeps ending early; see its log")
                return
            restarts += 1
            self._replace()

    def _replace(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        command = [sys.executable, "-m", "trainwright.tracking.shipper"]
        command += ["--run", self._folder.url, "--experiment", self._experiment]
        command += ["--drain-timeout", str(self._drain_timeout_s)]
        try:
            with open(self._log or os.devnull, "ab") as output:
                return subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "MLFLOW_TRACKING_URI": self._uri, "PYTHONSAFEPATH": "1"},
                    start_new_session=True,
                )
        except OSError as error:
            _log.warning("the shipper cannot be started: %s", error)
            return None
