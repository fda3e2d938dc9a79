"""What workers that made no progress left in the run's folder, told to the user."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict

from pydantic import TypeAdapter, ValidationError

from trainwright.storage import Folder
from trainwright.training.watchdog import Hang

_PREFIX = "hung-worker-"


def reporter(folder: Folder) -> Callable[[Hang], None]:
    """Writes a hang into the logs of a run's folder."""

    def report(hang: Hang) -> None:
        folder.write_json(f"logs/{_PREFIX}{hang.rank}.json", asdict(hang))

    return report


def forget_hangs(folder: Folder) -> None:
    """Remove what an attempt before has left."""
    for name in _names(folder):
        folder.remove(f"logs/{name}")


def read_hangs(folder: Folder) -> list[Hang]:
    """What the workers of the last attempt have left, by rank."""
    found = []
    for name in _names(folder):
        # One that was being written when its process ended says nothing.
        with contextlib.suppress(ValidationError):
            value = folder.read_object(f"logs/{name}")
            found.append(TypeAdapter(Hang).validate_python(value))
    return sorted(found, key=lambda hang: hang.rank)


def _names(folder: Folder) -> list[str]:
    return [name for name in folder.names("logs") if name.startswith(_PREFIX)]


def explain_hangs(hangs: Sequence[Hang]) -> str:
    """Which workers stood where; those that waited for them are only named. Empty for none."""
    if not hangs:
        return ""
    stood = [hang for hang in hangs if not hang.waits] or list(hangs)
    text = "; ".join(
        f"worker {hang.rank} made no progress for {hang.seconds:.0f} s and stood at {hang.where}"
        for hang in stood
    )
    waiting = [str(hang.rank) for hang in hangs if hang not in stood]
    if waiting:
        workers = "worker" if len(waiting) == 1 else "workers"
        text += f" ({workers} {', '.join(waiting)} waited)"
    return f"{text}, see logs/{_PREFIX}*.json"
