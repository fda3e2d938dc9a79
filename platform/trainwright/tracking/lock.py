"""At most one process sends a run to MLflow at a time."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainwright.storage import Folder

_log = logging.getLogger(__name__)


def lock_path(folder: Folder) -> Path:
    """The lock file of a run folder.

    It lies in the folder where that is local, which every process on the machine (and on a
    shared disk) sees. For object stores it lies in this machine's temporary directory: two
    machines may then send the same run, which costs time but leaves the same rows.
    """
    if folder.is_local:
        return folder.local_path() / ".tracking.lock"
    digest = hashlib.sha256(folder.url.encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"trainwright-{_user_id()}-{digest}.lock"


@contextmanager
def exclusive(path: Path, give_up: Callable[[], bool]) -> Iterator[bool]:
    """Hold the lock file while the block runs; it is released when the process dies, too.

    Args:
        path: the lock file; created with its folder when missing.
        give_up: asked about five times a second while another process holds the lock.

    Yields:
        Whether the lock is held; False after ``give_up`` said True.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        held = _try_lock(descriptor)
        while not held and not give_up():
            time.sleep(0.2)
            held = _try_lock(descriptor)
        yield held
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Whether the lock is now held; True as well on file systems that know no locks."""
    if os.name == "nt":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        _log.warning("no lock on this file system: %s", error)
    return True


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
