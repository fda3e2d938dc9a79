"""A job inside another job's file, and what is wrong with it told where it stands there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trainwright.errors import InputError, Problem
from trainwright.job.merging import BASE
from trainwright.job.yaml_reader import Parsed


@dataclass(frozen=True)
class Inner:
    """The base of a job with changes made.

    Attributes:
        parsed: the base with its changes, each value with its place.
        own: dotted paths that the changes wrote.
        place: where in the outer job the changes stand.
    """

    parsed: Parsed
    own: frozenset[str]
    place: str

    @contextmanager
    def told(self) -> Iterator[None]:
        """Give every problem raised inside its path in the outer job's file."""
        try:
            yield
        except InputError as error:
            raise type(error)([self.placed(problem) for problem in error.problems]) from error

    def placed(self, problem: Problem) -> Problem:
        """A problem of the inner job with its path in the outer one."""
        path = self.path_of(problem.path)
        return problem if path == problem.path else replace(problem, path=path)

    def path_of(self, inner: str) -> str:
        """Where in the outer job stands what has the dotted path ``inner`` in this one.

        What the outer job decides for all its runs keeps its path.
        """
        path = inner
        written = path in self.own or path in self.parsed.locations
        section = path.partition(".")[0]
        # These the outer job decides for all its runs; what it raised itself is told already.
        outer = ("storage", "tracking", BASE, self.place.partition(".")[0])
        if section in outer or path.startswith("-") or (section == "cluster" and not written):
            return inner
        while path and path not in self.own and path not in self.parsed.locations:
            path = path.rpartition(".")[0]
        prefix = self.place if path in self.own else BASE
        return f"{prefix}.{inner}" if inner else prefix
