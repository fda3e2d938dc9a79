"""Files under any fsspec URL: the few operations that runs, journals and checkpoints need."""

from __future__ import annotations

import json
import logging
import os
import posixpath
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folder:
    """A folder under an fsspec URL; plain paths mean the local file system.

    Writes are atomic: locally by a synced temporary file that is renamed, on object stores by
    the store's own put. Instances are cheap, hashable and can be sent to other processes.
    """

    url: str

    @cached_property
    def fs(self) -> Any:
        """The fsspec file system that serves the URL."""
        return fsspec.core.url_to_fs(self.url)[0]

    @cached_property
    def path(self) -> str:
        """The folder's path inside its file system, without the protocol."""
        return str(fsspec.core.url_to_fs(self.url)[1]).rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether ordinary file calls (append, rename, memory maps) reach it."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def name(self) -> str:
        """The last part of its URL; of a run's folder the name of the run."""
        return self.url.rstrip("/").rsplit("/", 1)[-1]

    def local_path(self) -> Path:
        """The folder as a ``Path``.

        Raises:
            ValueError: the folder is not on the local file system.
        """
        if not self.is_local:
            raise ValueError(f"{self.url} is not a local folder")
        return Path(self.path)

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.url.rstrip('/')}/{name}")

    def join(self, name: str) -> str:
        """The path of ``name`` inside the file system."""
        return posixpath.join(self.path, name)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file whole or not at all, creating folders as needed."""
        target = self.join(name)
        if not self.is_local:
            try:
                self.fs.pipe_file(target, content)
            except FileNotFoundError:  # asked for first, it would be one request more each time
                self.fs.makedirs(posixpath.dirname(target), exist_ok=True)
                self.fs.pipe_file(target, content)
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = f"{target}.{uuid.uuid4().hex[:8]}.part"
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Write ``value`` as indented JSON, atomically."""
        self.write_bytes(name, (json.dumps(value, indent=2) + "\n").encode())

    def read_bytes(self, name: str) -> bytes:
        """Read one file.

        Raises:
            FileNotFoundError: there is no such file.
        """
        content: bytes = self.fs.cat_file(self.join(name))
        return content

    def read_json(self, name: str) -> Any:
        """Read one JSON file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the content is not JSON.
        """
        content = self.read_bytes(name)
        try:
            return json.loads(content)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error

    def read_object(self, name: str) -> dict[str, Any] | None:
        """The JSON object in a file; None where there is none, which is logged if it is damaged."""
        try:
            value = self.read_json(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, IsADirectoryError) as error:
            _log.warning("%s is damaged and passed over: %s", self.join(name), error)
            return None
        if isinstance(value, dict):
            return value
        _log.warning("%s is damaged and passed over: it holds no object", self.join(name))
        return None

    def exists(self, name: str = "") -> bool:
        """Whether ``name`` (or the folder itself) exists."""
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.join(name) if name else self.path))

    def names(self, name: str = "") -> list[str]:
        """The sorted base names directly inside ``name``; empty when it does not exist."""
        self.fs.invalidate_cache()
        try:
            listing = self.fs.ls(self.join(name) if name else self.path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(posixpath.basename(str(path).rstrip("/")) for path in listing)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all it holds; nothing happens when it is not there."""
        with suppress(FileNotFoundError):
            self.fs.rm(self.join(name), recursive=True)

    def remove_file(self, name: str) -> None:
        """Remove a file, of a store in a single request; nothing happens when it is not there."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.join(name))


def cause_of(error: Exception) -> str:
    """What a store's client says of a failure, in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def how_to_reach(url: str, error: Exception) -> str | None:
    """What to do about a store that cannot be reached, where that is known."""
    if isinstance(error, ImportError):
        return "install the package, for s3:// by: pip install 'trainwright[s3]'"
    if url.startswith("s3"):
        return (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for a store "
            "that is not Amazon's"
        )
    return None
