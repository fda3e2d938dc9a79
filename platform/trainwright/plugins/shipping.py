"""The files that plugins beside a job consist of: for the run's name, and for its workers."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from trainwright.plugins.files import Source, job_folder
from trainwright.plugins.groups import Plugin


def plugin_files(base: Path, plugins: Iterable[Plugin] | None = None) -> dict[str, bytes]:
    """The source files of plugins below ``base`` and of the local modules they import.

    Imports written inside functions count too, so that what a plugin loads later is there on
    every worker and enters the run's name.

    Args:
        base: folder of the job file.
        plugins: the plugins of one job. Without it, every module below ``base`` that this
            process has loaded so far, other jobs' included: the run's name needs the list.

    Returns:
        Path relative to ``base``, with forward slashes, -> content; sorted by path.
    """
    folder = job_folder(base)
    if plugins is None:
        roots = set(folder.loaded)
    else:
        files = {plugin.source_file for plugin in plugins if plugin.source_file}
        roots = {_dotted(file.relative_to(folder.base)) for file in files}
    return _by_path(folder.closure(roots).values(), folder.base)


def install_plugin_files(files: Mapping[str, bytes], base: Path) -> Path:
    """Make the plugin files of a job available on this machine.

    Args:
        files: what :func:`plugin_files` returned where the job was started.
        base: the folder of the job file there.

    Returns:
        ``base`` itself if it holds the same contents here, otherwise a folder that does; the
        classes get the same module names in both, so that pickles pass between the machines.

    Raises:
        ValueError: a path leads out of the folder.
    """
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name!r} leads out of the folder of the job")
    if _holds(base, files):
        return base
    root = cache_folder("plugins") or Path(tempfile.mkdtemp(prefix="trainwright-plugins-"))
    target = root / _digest(files)
    if not _holds(target, files):
        _write_whole(target, files)
    job_folder(target, stands_for=base)
    return target


def _dotted(relative: Path) -> str:
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _by_path(sources: Iterable[Source], base: Path) -> dict[str, bytes]:
    found = {source.file.relative_to(base).as_posix(): source.content for source in sources}
    return dict(sorted(found.items()))


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == content
        for name, content in files.items()
    )


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{len(name)} {name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:24]


def cache_folder(name: str) -> Path | None:
    """A folder that only this user can write; None in a read-only home, as in many containers."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    root = Path(home) / "trainwright" / name
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return root if os.access(root, os.W_OK) else None


def _write_whole(target: Path, files: Mapping[str, bytes]) -> None:
    """Write the folder under another name and rename it: several workers may do so at once."""
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        for name, content in files.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if target.exists():  # damaged: its contents are not the ones its name stands for
            shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except OSError:
        if not _holds(target, files):
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
