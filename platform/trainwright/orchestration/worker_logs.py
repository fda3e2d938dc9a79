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

from trainwright.orchestration.quiet import output_to
from trainwright.orchestration.vitals import Vitals
from trainwright.storage import Folder

_log = logging.getLogger(__name__)

EXCERPT_LINES = 20
EXCERPT_WIDTH = 200
CRASH = "Fatal Python error: "
"""How the stack of a crash begins."""

MOST_READ = 1 << 16
"""Bytes at the end of a log in which the lines for a message are looked for."""

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
    faulthandler.enable(file=2, all_threads=False)
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
        self._size = -1  # an empty log is stored, too
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


def excerpt(folder: Folder, rank: int, vitals: Vitals | None) -> str:
    """The end of a lost worker's log for a message, with the place of the whole; empty for none.

    Of a worker that crashed it is the beginning of the stack, for what follows is long.
    """
    lines = _end_of_log(folder, rank, vitals).splitlines()
    crashes = [number for number, line in enumerate(lines) if line.startswith(CRASH)]
    start = crashes[-1] if crashes else max(len(lines) - EXCERPT_LINES, 0)
    shown = [f"  | {line[:EXCERPT_WIDTH]}" for line in lines[start : start + EXCERPT_LINES]]
    if not shown:
        return ""
    what = "where it crashed" if crashes else "the last lines"
    return "\n".join([f"{what}, from {folder.url.rstrip('/')}/{log_name(rank)}:", *shown])


def _end_of_log(folder: Folder, rank: int, vitals: Vitals | None) -> str:
    """From the file itself if it can be read, else from the last copy."""
    if folder.is_local:
        return _end_of_file(folder.local_path() / log_name(rank))
    if vitals is not None and (text := _read_where_it_is(vitals)):
        return text
    with contextlib.suppress(Exception):  # none, or whatever the store's client raises
        return folder.read_bytes(log_name(rank))[-MOST_READ:].decode(errors="replace")
    return ""


def _read_where_it_is(vitals: Vitals) -> str:
    path = Path(vitals.log)
    if vitals.host == socket.gethostname():
        return _end_of_file(path)
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id=vitals.node, soft=False)
    read = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_end_of_file)
    with contextlib.suppress(ray.exceptions.RayError):  # the node is gone, or too slow
        text: str = ray.get(read.remote(path), timeout=10)
        return text
    return ""


def _end_of_file(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - MOST_READ, 0))
        return file.read().decode(errors="replace")
