"""What workers print: a file of each in the run's folder, and its last lines after a loss."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from trainwright.orchestration.quiet import output_to, tail
from trainwright.orchestration.vitals import Vitals
from trainwright.storage import Folder

_log = logging.getLogger(__name__)

EXCERPT_LINES = 20
SECONDS_BETWEEN_COPIES = 10.0
MOST_COPIED = 1 << 22
"""Bytes: of a longer log the end is kept in an object store."""


def log_name(rank: int) -> str:
    """A worker's log inside the run's folder."""
    return f"logs/worker-{rank}.log"


@contextlib.contextmanager
def logging_to(folder: Folder, rank: int) -> Iterator[Path]:
    """Inside, what this process prints goes to its log, and the stack if it crashes.

    A log lies in the run's folder, where that is local; an object store gets a copy now and then,
    and at the end.
    """
    if folder.is_local:
        path = folder.local_path() / log_name(rank)
        with output_to(path), _stack_of_crashes():
            yield path
        return
    scratch = Path(tempfile.mkdtemp(prefix="trainwright-logs-"))
    copy = _Copy(folder, rank, scratch / "worker.log")
    try:
        with output_to(copy.path), _stack_of_crashes():
            yield copy.path
    finally:
        if copy.close():
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _stack_of_crashes() -> Iterator[None]:
    """The file descriptor of standard error, for it is what ``output_to`` leads to the log."""
    faulthandler.enable(file=2)
    try:
        yield
    finally:
        faulthandler.disable()


class _Copy:
    """Keeps an object of a store like a growing file, from a thread."""

    def __init__(self, folder: Folder, rank: int, path: Path) -> None:
        self.path = path
        self._folder = folder
        self._name = log_name(rank)
        self._size = 0
        self._is_stored = True
        self._over = threading.Event()
        with contextlib.suppress(Exception):  # none yet, or whatever the store's client raises
            path.write_bytes(folder.read_bytes(self._name))
        self._thread = threading.Thread(target=self._keep, name="log", daemon=True)
        self._thread.start()

    def close(self) -> bool:
        """Copy what is left; whether all of it is in the store."""
        self._over.set()
        self._thread.join(timeout=60)
        return self._is_stored

    def _keep(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_COPIES):
            self._store()
        self._store()

    def _store(self) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size == self._size:
            return
        try:
            with self.path.open("rb") as file:
                file.seek(max(size - MOST_COPIED, 0))
                self._folder.write_bytes(self._name, file.read())
            self._size, self._is_stored = size, True
        except Exception as error:  # whatever the store's client raises; it must not hide a cause
            self._is_stored = False
            _log.warning("%s is on this machine only: the store refuses it: %s", self.path, error)


def last_lines(folder: Folder, rank: int, vitals: Vitals | None) -> str:
    """The end of a lost worker's log: from its file if it can be read, else from the last copy."""
    if folder.is_local:
        return tail(folder.local_path() / log_name(rank), EXCERPT_LINES)
    if vitals is not None and (text := _read_where_it_is(vitals)):
        return text
    with contextlib.suppress(Exception):  # none, or whatever the store's client raises
        text = folder.read_bytes(log_name(rank)).decode(errors="replace")
        return "\n".join(text.splitlines()[-EXCERPT_LINES:])
    return ""


def _read_where_it_is(vitals: Vitals) -> str:
    if vitals.host == socket.gethostname():
        return tail(Path(vitals.log), EXCERPT_LINES)
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id=vitals.node, soft=False)
    read = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(tail)
    with contextlib.suppress(ray.exceptions.RayError):  # the node is gone, or too slow
        text: str = ray.get(read.remote(Path(vitals.log), EXCERPT_LINES), timeout=10)
        return text
    return ""


def excerpt(folder: Folder, rank: int, vitals: Vitals | None) -> str:
    """The end of a worker's log for a message, with the place of the whole; empty for none."""
    text = last_lines(folder, rank, vitals)
    if not text:
        return ""
    lines = "\n".join(f"  | {line}" for line in text.splitlines())
    return f"the last lines of {folder.url.rstrip('/')}/{log_name(rank)}:\n{lines}"
