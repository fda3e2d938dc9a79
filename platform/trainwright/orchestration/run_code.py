"""Code that comes with a run: what may be executed when its model is built again.

A run's folder holds plugin files, and its checkpoints hold the job, which names plugins by import
path. Whoever can write to the storage can write both, so that they are run only where this user
knows them: because a job of theirs ran them from here, because the files lie beside the job as
they are in the run, or because they said so. What is known is kept by its digest, in a folder that
only this user can write.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainwright.errors import InputError, Problem, RunError
from trainwright.orchestration.kept_plugins import PLUGINS, kept_plugin_files
from trainwright.plugins import install_plugin_files
from trainwright.plugins.shipping import cache_folder
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.suggest import one_of
from trainwright.training.saving import digests

SECTIONS = ("data", "model", "objective", "strategies", "optimizer", "schedule", "metrics")
"""Sections of a job that name plugins."""

_IN_FILE = re.compile(r"^(.+\.py):[A-Za-z_]\w*$")
_IMPORTED = re.compile(r"^([A-Za-z_]\w*)(?:[.:][A-Za-z_]\w*)+$")


@dataclass(frozen=True)
class RunCode:
    """Code of one run.

    Attributes:
        files: path relative to the job -> content of the user's plugin files.
        named: what its job names in a file or by an import path.
    """

    files: Mapping[str, bytes]
    named: tuple[str, ...]

    @classmethod
    def of(cls, job: Mapping[str, Any], files: Mapping[str, bytes]) -> RunCode:
        """The code of a resolved job, as JSON values."""
        texts = {text for name in SECTIONS for text in _texts(job.get(name))}
        return cls(files, tuple(sorted(filter(_names_code, texts))))

    @cached_property
    def strange(self) -> list[str]:
        """What of it is in no file of it: import paths, and files that were not kept."""
        beside = {name for name in self.named if (m := _IN_FILE.match(name)) and m[1] in self.files}
        return [name for name in self.named if name not in beside]

    def remember(self) -> None:
        """Note that this user runs it."""
        if (self.files or self.named) and (place := self._place) is not None:
            place.touch()

    def is_known(self, base: Path) -> bool:
        """Whether this user ran it, or has the same files in the job's folder ``base``."""
        if self._place is not None and self._place.exists():
            return True
        return not self.strange and all(
            (base / name).is_file() and (base / name).read_bytes() == content
            for name, content in self.files.items()
        )

    @property
    def _place(self) -> Path | None:
        folder = cache_folder("known-code")
        text = json.dumps([sorted(digests(self.files).items()), self.named])
        return folder / hashlib.sha256(text.encode()).hexdigest() if folder is not None else None


def base_of(folder: Folder, state: Mapping[str, Any], trusted: bool = False) -> Path:
    """A folder with a run's plugin files, from which its job may be built again.

    Args:
        folder: the run's folder.
        state: of its checkpoint.
        trusted: the user says that its code may be run, from now on.

    Raises:
        RunError: the files are not those that the checkpoint was written with.
        InputError: this user does not know the code.
    """
    record = RunRecord.load(folder)
    base = Path(record.base) if record is not None and record.base else Path.cwd()
    code = RunCode.of(state["job"], _unchanged(folder, state["plugin_files"]))
    if trusted:
        code.remember()
    elif not code.is_known(base):
        raise _unknown(folder, code)
    return install_plugin_files(code.files, base)


def _unchanged(folder: Folder, wanted: Mapping[str, str]) -> dict[str, bytes]:
    files = kept_plugin_files(folder)
    found = digests(files)
    changed = [n for n, digest in wanted.items() if n in found and found[n] != digest]
    other = {
        "is missing": sorted(set(wanted) - set(found)),
        "was changed": sorted(changed),
        "was added": sorted(set(found) - set(wanted)),
    }
    if told := [f"{name} {what}" for what, names in other.items() for name in names]:
        raise RunError(
            f"the plugin files in {folder.join(PLUGINS)} are not those that the checkpoint was "
            f"written with: {', '.join(told)}. They are not run; put them back"
        )
    return files


def _unknown(folder: Folder, code: RunCode) -> InputError:
    name = folder.url.rstrip("/").rsplit("/", 1)[-1]
    what = one_of([*sorted(code.files), *code.strange])
    return InputError(
        Problem(
            "--trust-run-code",
            f"run {name} brings code that you did not run on this machine before: {what}",
            mend=f"look at it (the files are in {folder.join(PLUGINS)}); if it may be run, "
            f"`trainwright export {name} --trust-run-code` says so once, for all commands",
        )
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _names_code(text: str) -> bool:
    """Whether a value of a job may be a plugin that is no short name; ``data.parquet`` is none."""
    if _IN_FILE.match(text):
        return True
    match = _IMPORTED.match(text)
    if match is None:
        return False
    try:
        return importlib.util.find_spec(match[1]) is not None
    except (ImportError, ValueError):
        return False
