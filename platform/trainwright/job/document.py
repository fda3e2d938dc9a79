"""A job as plain values that remember where they were written."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainwright.errors import MISSING, JobError, Location, Problem
from trainwright.job.environment import expand
from trainwright.job.merging import EXTENDS, nearest_location, read_with_extends
from trainwright.job.overrides import apply_overrides
from trainwright.job.yaml_reader import Parsed, no_text, read_file
from trainwright.job.yaml_writer import yaml_text

FROM_PYTHON = "<job>"
"""Stands for the file of a job that was given as a dictionary."""


@dataclass(frozen=True)
class Document:
    """The values of a job with ``extends``, overrides and environment variables worked in.

    Attributes:
        values: plain dictionaries, lists and single values.
        locations: dotted path -> where the value was written.
        file: the job file as it was named, or ``<job>``.
        text: the job as it was given, before anything was worked in.
    """

    values: dict[str, Any]
    locations: dict[str, Location]
    file: str
    text: str

    @classmethod
    def read(
        cls,
        text: str,
        file: str,
        overrides: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Document:
        """The document that ``text``, the content of ``file``, holds.

        Args:
            text: YAML.
            file: where it comes from; ``extends`` is relative to its folder.
            overrides: ``a.b=value`` each, the last one wins.
            environ: environment variables; those of this process when left out.

        Raises:
            JobError: it cannot be read, with every problem that was found.
        """
        return cls._finished(read_with_extends(text, file), file, text, overrides, environ)

    @classmethod
    def from_values(
        cls,
        values: Mapping[str, Any],
        overrides: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Document:
        """The document of a job that was made in Python; ``extends`` has no meaning there.

        Raises:
            JobError: there is something in it that no job file could hold.
        """
        at = Location(FROM_PYTHON)
        problems: list[Problem] = []
        plain = _plain(values, "", problems)
        if EXTENDS in plain:
            mend = "read the other file with yaml.safe_load and merge the dictionaries"
            problems.append(Problem(EXTENDS, "only a file can extend a file", mend=mend))
        if problems:
            raise JobError([replace(problem, location=at) for problem in problems])
        text = yaml_text(plain)
        return cls._finished(Parsed(plain, {"": at}), FROM_PYTHON, text, overrides, environ)

    @classmethod
    def _finished(
        cls,
        parsed: Parsed,
        file: str,
        text: str,
        overrides: Iterable[str],
        environ: Mapping[str, str] | None,
    ) -> Document:
        parsed = apply_overrides(parsed, overrides)
        values, problems = expand(parsed.values, os.environ if environ is None else environ)
        document = cls(values, parsed.locations, file, text)
        if problems:
            raise JobError(document.sorted(problems))
        return document

    def location_of(self, path: str) -> Location:
        """Where the value at the dotted ``path`` was written.

        A value that is not there takes the place of the section it belongs to. An option that
        was written under ``options`` is found by its plain path too.
        """
        section, _, key = path.rpartition(".")
        nested = f"{section}.options.{key}"
        is_nested = path not in self.locations and nested in self.locations
        return nearest_location(self.locations, nested if is_nested else path)

    def place(self, problem: Problem) -> Problem:
        """``problem`` with its place; its path ends where the job has a single value.

        ``objective.name`` becomes ``objective`` in a job that says ``objective: z_loss``. What is
        wrong with an argument of the command line (``--resume``) has no place in the job.
        """
        is_argument = problem.path.startswith("-") and problem.path not in self.locations
        if problem.location is not None or is_argument:
            return problem
        path = problem.path if problem.got is MISSING else self._written(problem.path)
        return replace(problem, path=path, location=self.location_of(problem.path))

    def sorted(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with their places, in the order of the file's lines, overrides last."""

        def position(problem: Problem) -> tuple[bool, bool, str, int]:
            at = problem.location or Location(self.file)
            return (at.file.startswith("-"), at.file != self.file, at.file, at.line)

        return sorted((self.place(problem) for problem in problems), key=position)

    def _written(self, path: str) -> str:
        value: Any = self.values
        keys = path.split(".")
        for depth, key in enumerate(keys):
            if isinstance(value, Mapping):
                value = value.get(key)
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, (str, int, float)):
                return ".".join(keys[:depth])
            else:
                return path
        return path


def read_text(path: str | Path) -> str:
    """The text of a job file.

    Raises:
        JobError: there is no such file, or it holds no text.
    """
    return read_file(Path(path))


def _plain(value: Any, path: str, problems: list[Problem]) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                problems.append(Problem(path, "a key must be a text", got=key))
        return {
            str(key): _plain(item, f"{path}.{key}" if path else str(key), problems)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{path}.{index}", problems) for index, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and math.isnan(value):
        problems.append(Problem(path, "is 'not a number', which no setting can be", got=value))
    if isinstance(value, str) and (odd := no_text(value)) is not None:
        problems.append(Problem(path, odd, got=value))
    if value is None or type(value) in (str, int, float, bool):
        return value
    got = type(value).__name__
    allowed = "texts, numbers, true or false, None, lists and dictionaries of them"
    problems.append(Problem(path, "a job holds plain values only", got=got, allowed=allowed))
    return None
