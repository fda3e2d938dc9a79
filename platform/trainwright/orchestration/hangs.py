"""What workers that made no progress left in the run's folder, told to the user."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
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


def explain_hangs(hangs: Sequence[Hang], ranks: Collection[int] = ()) -> str:
    """Which workers stood where; those that waited for them are only named. Empty for none.

    Args:
        hangs: what workers have said.
        ranks: of all workers that there were.
    """
    if not hangs:
        return ""
    silent = sorted(set(ranks) - {hang.rank for hang in hangs})
    if silent and all(hang.waits for hang in hangs):
        return _silence(silent, hangs)
    stood = [hang for hang in hangs if not hang.waits] or list(hangs)
    text = "; ".join(
        f"worker {hang.rank} made no progress for {hang.seconds:.0f} s and stood at {hang.where}"
        for hang in stood
    )
    waiting = [hang.rank for hang in hangs if hang not in stood]
    if waiting:
        text += f" ({_workers(waiting)} waited)"
    return f"{text}, see logs/{_PREFIX}*.json"


def _silence(silent: Sequence[int], waiting: Sequence[Hang]) -> str:
    """Workers for which all others waited, and which cannot even say that they stand still."""
    seconds, where = max((hang.seconds, hang.where) for hang in waiting)
    them = "it" if len(silent) == 1 else "them"
    return (
        f"{_workers(silent)} said nothing, as processes do that are stopped or get no processor; "
        f"{_workers([hang.rank for hang in waiting])} waited for {them} for {seconds:.0f} s at "
        f"{where}, see logs/{_PREFIX}*.json"
    )


def _workers(ranks: Sequence[int]) -> str:
    return f"worker{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
