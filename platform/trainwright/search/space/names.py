"""The values of a trial by name: the job's by their dotted paths, and what was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainwright.errors import JobError, Location, Problem
from trainwright.job.overrides import changed
from trainwright.job.shorthand import written_out
from trainwright.job.yaml_reader import Parsed
from trainwright.search.space.constraints import Constraint
from trainwright.search.space.expression import AbsentError, looked_up
from trainwright.search.space.options import Options
from trainwright.search.space.reading import PLACE, Slot
from trainwright.search.space.space import Assignment, Space
from trainwright.suggest import nearest, one_of

_NOWHERE = Location("<space>")


def _applied(space: Space, assignment: Assignment, base: Mapping[str, Any]) -> dict[str, Any]:
    """The base with what was chosen put in.

    Raises:
        JobError: a path of the space leads through a single value or past the end of a list.
    """
    parsed = Parsed(dict(base), {"": _NOWHERE})
    for path, value in space.changes(assignment).items():
        try:
            parsed = changed(parsed, path, value, _NOWHERE)
        except JobError as error:
            told = [
                replace(problem, path=f"{PLACE}.{path}", location=None)
                for problem in error.problems
            ]
            raise JobError(told) from None
    return parsed.values


def named_values(space: Space, assignment: Assignment, base: Mapping[str, Any]) -> dict[str, Any]:
    """Every value that a constraint can name.

    Args:
        space: the space.
        assignment: what was chosen.
        base: the job that is changed.

    Returns:
        Dotted path in the changed job -> its value, and parameter name -> what was chosen: of a
        choice at ``objective`` that is the option's label.
    """
    values = dict(_flat(_applied(space, assignment, base), ""))
    return {**values, **assignment}


def unknown_names(
    constraints: Sequence[Constraint], space: Space, base: Mapping[str, Any]
) -> list[Problem]:
    """Names in constraints that no trial can have a value for."""
    known: dict[str, Any] = dict(_flat(base, ""))
    known.update((parameter.name, None) for parameter in space.parameters)
    for path, content in space.entries:
        known.update(_possible(content, path, space))
    problems = []
    for constraint in constraints:
        for name in constraint.names:
            try:
                looked_up(name, known)
            except AbsentError:
                problems.append(_unknown(constraint, name, list(known)))
    return problems


def _unknown(constraint: Constraint, name: str, known: list[str]) -> Problem:
    near = nearest(name, known)
    section = name.rpartition(".")[0]
    beside = [path for path in known if path.rpartition(".")[0] == section]
    mend = None
    if near is None:
        mend = "if it is a default, write it into the base or the space"
    message = f"there is no value {name!r} in the job"
    allowed = one_of(beside or [path for path in known if "." not in path])
    return Problem(constraint.path, message, constraint.text, allowed, near, mend)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Dotted path -> value for all that is in a job, sections included, short forms written out."""
    if path:
        yield path, value
    for key, item in _items(value, path):
        yield from _flat(item, f"{path}.{key}" if path else key)


def _possible(content: Any, path: str, space: Space) -> Iterator[tuple[str, Any]]:
    """The same for all that can be in what a space puts at ``path``."""
    if isinstance(content, Slot):
        domain = space.parameter(content.name).domain
        yield path, content
        for option in domain.contents if isinstance(domain, Options) else ():
            yield from _possible(option, path, space)
        return
    yield path, content
    for key, item in _items(content, path):
        yield from _possible(item, f"{path}.{key}", space)


def _items(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    value = written_out(path, value)
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(index), item) for index, item in enumerate(value))
