"""Finding the files behind a path or URL."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from trainwright.errors import DataError, JobError, Problem
from trainwright.storage import cause_of, how_to_reach
from trainwright.suggest import nearest, one_of

Format = Literal["parquet", "arrow", "csv", "text"]

ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
}


@dataclass(frozen=True)
class DataFile:
    """One file of a source.

    Attributes:
        fs: fsspec file system.
        path: inside the file system.
        format: how to read it.
        size: bytes.
        info: what the file system says about it.
    """

    fs: Any
    path: str
    format: Format
    size: int
    info: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)

    def __str__(self) -> str:
        if isinstance(self.fs, LocalFileSystem):
            return self.path
        return str(self.fs.unstrip_protocol(self.path))


def find_files(source: str, format: str, base: Path, path: str, workers: int = 0) -> list[DataFile]:
    """The files of a source, sorted by path; that is the order of their rows.

    Args:
        source: a file, a folder (searched in depth, names starting with ``.`` or ``_`` left out)
            or a glob; any fsspec URL, or a path relative to ``base``.
        format: ``auto`` goes by the ending of each file.
        base: folder of the job file.
        path: dotted path in the job, for error messages.
        workers: number of training processes; with any, the source must be visible to them.

    Raises:
        DataError: nothing there, unknown protocol, ending or access.
        JobError: ``memory://`` with workers.
    """
    fs, root = _open(source, base, path)
    if workers:
        _refuse_memory(fs, source, path)
    try:
        found = _listing(fs, root)
    except Exception as error:  # each file system raises errors of its own library
        raise _unreachable(source, path, error) from error
    if not found:
        raise _nothing_there(source, fs, root, path)
    chosen = {name: _format(name, format) for name in found}
    files = [
        DataFile(fs, name, kind, int(found[name].get("size") or 0), found[name])
        for name, kind in sorted(chosen.items())
        if kind is not None
    ]
    if not files:
        raise _unknown_endings(source, found, path)
    return files


def _open(source: str, base: Path, path: str) -> tuple[Any, str]:
    url = source
    if "://" not in source and "::" not in source:
        url = str(base.absolute() / Path(source).expanduser())
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ValueError as error:
        protocol = source.split("://")[0]
        raise DataError(
            Problem(
                path=path,
                message=f"cannot open {source}: {error}",
                got=protocol,
                allowed="a path, or a URL of a protocol that fsspec knows (file, s3, gs, https...)",
                nearest=nearest(protocol, fsspec.available_protocols()),
            )
        ) from error
    except Exception as error:  # missing packages, bad options: whatever the protocol raises
        raise _unreachable(source, path, error) from error
    fs.invalidate_cache()
    return fs, str(root)


def _refuse_memory(fs: Any, source: str, path: str) -> None:
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    if "memory" in protocols:
        raise JobError(
            Problem(
                path=path,
                message="memory:// is seen by one process only, but cluster.workers is not 0",
                got=source,
                allowed="memory:// with cluster.workers: 0; with workers a shared folder "
                "(file://) or an object store (s3://)",
            )
        )


def _listing(fs: Any, root: str) -> dict[str, dict[str, Any]]:
    """Path -> information for every file; empty when there is none."""
    if not fs.exists(root):
        found = fs.glob(root, detail=True) if fsspec.core.has_magic(root) else {}
    elif fs.isfile(root):
        return {root: fs.info(root)}
    else:
        found = {
            name: info
            for name, info in fs.find(root, detail=True).items()
            if not any(p.startswith((".", "_")) for p in name[len(root) :].split("/"))
        }
    return {name: info for name, info in found.items() if info.get("type") == "file"}


def _format(name: str, format: str) -> Format | None:
    if format != "auto":
        return cast(Format, format)
    return ENDINGS.get(posixpath.splitext(name)[1].lower())


def _nothing_there(source: str, fs: Any, root: str, path: str) -> DataError:
    folder, name = posixpath.split(root.rstrip("/"))
    try:
        beside = [posixpath.basename(str(p).rstrip("/")) for p in fs.ls(folder, detail=False)]
    except Exception:  # only for a better message: a missing folder has no neighbours to show
        beside = []
    is_glob = fsspec.core.has_magic(root)
    what = "no file matches" if is_glob else "there is no file or folder"
    return DataError(
        Problem(
            path=path,
            message=f"{what} {source}",
            got=source,
            allowed=f"beside it: {one_of(sorted(beside))}" if beside else None,
            nearest=None if is_glob else nearest(name, beside),
        )
    )


def _unknown_endings(source: str, found: Iterable[str], path: str) -> DataError:
    names = one_of(posixpath.basename(name) for name in sorted(found))
    return DataError(
        Problem(
            path=path,
            message=f"no file of a known format in {source}; it has {names}",
            allowed=f"files ending in {one_of(ENDINGS)}",
            mend="set data.format (parquet, arrow, csv) if the endings are others",
        )
    )


def _unreachable(source: str, path: str, error: Exception) -> DataError:
    message = f"cannot read {source}: {cause_of(error)}"
    return DataError(Problem(path=path, message=message, mend=how_to_reach(source, error)))
