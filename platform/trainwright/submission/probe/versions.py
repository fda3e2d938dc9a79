"""Whether the libraries there are those that a job needs, and those that it was written with."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator, Mapping

from trainwright.doctor.finding import Finding
from trainwright.doctor.software import SHOWN, check_python
from trainwright.doctor.versions import Library, libraries, release

OURS = "trainwright"


def versions_here() -> dict[str, str]:
    """Versions of Python and of the libraries that matter most, of those that are installed."""
    found = {"python": platform.python_version()}
    for name in (OURS, *SHOWN):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def check_versions(sender: Mapping[str, str]) -> Iterator[Finding]:
    """Every library in its range, and the same ones as where the job is sent from.

    Args:
        sender: versions there, as ``versions_here`` gives them.
    """
    python = check_python()
    if python.state != "stop":
        python = compared("python", platform.python_version(), sender.get("python"))
    yield python
    yield compared(OURS, importlib.metadata.version(OURS), sender.get(OURS))
    rest = 0
    for library in libraries(OURS, sys.platform):
        if not library.fits:
            yield _missing(library)
        elif library.name in SHOWN:
            assert library.installed is not None
            yield compared(library.name, library.installed, sender.get(library.name))
        else:
            rest += 1
    yield Finding("libraries", "ok", f"{rest} more in their ranges")


def compared(name: str, there: str, here: str | None) -> Finding:
    """A version on the cluster against the one where the job is sent from.

    Trainwright must be the same to the last digit, and Ray in its first two numbers; others may
    differ.

    Example:
        >>> compared("ray", "2.50.1", "2.50.0").state, compared("ray", "2.49.1", "2.50.0").state
        ('ok', 'note')
    """
    if here is None or there == here:
        return Finding(name, "ok", there)
    says = f"{there}, but {here} where the job is sent from"
    kept = release(there)[:2] == release(here)[:2]
    if name == OURS or (name == "ray" and not kept):
        mend = f"pip install {name}=={there} here, or {name}=={here} on the cluster"
        return Finding(name, "note", says, mend)
    return Finding(name, "ok", f"{there} ({here} where the job is sent from)")


def _missing(library: Library) -> Finding:
    there = f"{library.installed} is installed" if library.installed else "not installed"
    mend = f'pip install "{library.name}{library.allowed}" on the cluster, or in its image'
    return Finding(library.name, "stop", f"{there}, {library.allowed} is needed", mend)
