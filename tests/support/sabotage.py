"""What tests do to a driver process before its run: kill it at a chosen change of files, say."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree")


def set_variable(name: str, value: str) -> None:
    """Set an environment variable of this process."""
    os.environ[name] = value


def count_changes(storage: str, log: str) -> None:
    """Append a line to ``log`` before each change that this process makes below ``storage``."""

    def note(what: str) -> None:
        with open(log, "a") as file:
            file.write(what + "\n")

    _before_changes(storage, note)


def kill_at_change(storage: str, number: int) -> None:
    """Kill this process before its change number ``number`` (from 0) below ``storage``."""
    left = [number]

    def count(what: str) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    _before_changes(storage, count)


def _before_changes(storage: str, action: Any) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and _opens_for_writing(*arguments)
        if not writes and event not in _CHANGES:
            return
        path = _text(arguments[0])
        if path.startswith(storage):
            action(f"{event} {Path(path).relative_to(storage)}")

    sys.addaudithook(hook)


def _opens_for_writing(path: Any, mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT))


def _text(path: Any) -> str:
    """A path; empty for a file that is named by its descriptor, which was opened before."""
    return "" if path is None or isinstance(path, int) else os.fsdecode(path)


def be_elsewhere(host: str) -> None:
    """Make this process a driver on another machine, with less patience for silent ones."""
    import socket

    from trainwright.orchestration import sole

    socket.gethostname = lambda: host
    sole.LEASE_S = 10.0


def kill_in_round(round: int, client: int = 0) -> None:
    """Kill this process in a federation's round, when it is this client's turn or a later one's."""
    from trainwright.federated.transport.messages import Postbox

    original = Postbox.__call__

    def deliver(self: Any, chunk: Any, sent: Any) -> Any:
        if sent.round == round and max(member.id for member in chunk.members) >= client:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, chunk, sent)

    Postbox.__call__ = deliver  # type: ignore[method-assign]
