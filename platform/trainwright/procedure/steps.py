"""The recorded steps of a procedure: what was done once is never done again."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from trainwright.errors import RunError
from trainwright.procedure.results import PLAIN, TENSORS, Packed, unpack
from trainwright.storage import Folder

PLACE = "steps"
_LONGEST = 120


class Steps:
    """Results by the names of their steps, each in a file of its own that is whole or not there.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder / PLACE
        endings = (PLAIN, TENSORS)
        self._files = {name for name in folder.names(PLACE) if name.endswith(endings)}
        self._used: set[str] = set()

    def __len__(self) -> int:
        """Steps recorded by this attempt and all before."""
        return len(self._files)

    def __contains__(self, name: str) -> bool:
        return self._file(name) is not None

    def use(self, name: str) -> None:
        """Note that a step is reached.

        Raises:
            ValueError: a step of that name was reached before: it would get the other's result.
        """
        if name in self._used:
            raise ValueError(
                f"the step {name!r} is named twice in one run; results are found by the name, so "
                "each needs its own (in a loop, put the index into it)"
            )
        self._used.add(name)

    def load(self, name: str) -> Any:
        """The recorded result of a step.

        Raises:
            RunError: its file is damaged.
        """
        file = self._file(name)
        assert file is not None
        ending = TENSORS if file.endswith(TENSORS) else PLAIN
        try:
            return unpack(Packed(ending, self._folder.read_bytes(file)))
        except (ValueError, KeyError) as error:
            place = self._folder.join(file)
            message = f"the recorded result of step {name!r} is damaged ({error})"
            raise RunError(f"{message}; remove {place} to do the step again") from error

    def save(self, name: str, packed: Packed) -> Any:
        """Record the result of a step; gives it as it will be read again."""
        file = f"{_stem(name)}{packed.ending}"
        self._folder.write_bytes(file, packed.content)
        self._files.add(file)
        return unpack(packed)

    def _file(self, name: str) -> str | None:
        stem = _stem(name)
        files = (f"{stem}{ending}" for ending in (PLAIN, TENSORS))
        return next((file for file in files if file in self._files), None)


def _stem(name: str) -> str:
    """A file name that only this step has."""
    stem = quote(name, safe="")
    if len(stem) <= _LONGEST:
        return stem
    return f"{stem[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
