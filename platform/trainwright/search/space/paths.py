"""Whether the paths of a space lead to places that the base has, and where mistakes are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from trainwright.errors import JobError, Location, Problem
from trainwright.job.fields import keys_of, nearest_key, section_at, type_at
from trainwright.job.models import TrainJob
from trainwright.job.overrides import changed
from trainwright.job.yaml_reader import Parsed
from trainwright.search.space.domain import Value
from trainwright.search.space.options import Options
from trainwright.search.space.reading import PLACE, Slot
from trainwright.search.space.space import Assignment, Space
from trainwright.suggest import one_of


def unknown_paths(
    space: Space, base: Mapping[str, Any], form: type[BaseModel] = TrainJob
) -> list[Problem]:
    """Paths of a space that no job of the base's kind has.

    Keys of sections are checked here; options of plugins, and values, by the checks of a job that
    is made of the space (see :func:`told`).

    Args:
        space: the space.
        base: the job that is changed.
        form: the model of the base's kind of job.

    Returns:
        A problem for each, with its path in the space, and the nearest name.
    """
    problems: list[Problem] = []
    for path, _ in space.entries:
        place = f"{PLACE}.{path}"
        if (unknown := _unknown_key(path.split("."), form)) is not None:
            section, key = unknown
            near = nearest_key(key, section, form)
            inside = f"in {section}" if section else "in the base"
            loc = [int(part) if part.isdecimal() else part for part in section.split(".") if part]
            allowed = one_of(keys_of(section_at(loc, form)), limit=20)
            problems.append(Problem(place, f"there is no key {key!r} {inside}", key, allowed, near))
            continue
        try:
            changed(Parsed(dict(base), {"": Location(place)}), path, None, Location(place))
        except JobError as error:
            problems += [
                replace(
                    problem, path=place, location=None, message=f"{problem.path} {problem.message}"
                )
                for problem in error.problems
            ]
    return problems


def told(problem: Problem, space: Space, assignment: Assignment) -> Problem:
    """A problem in a trial's job, at the place in the space that it comes from.

    Args:
        problem: with its path in the trial's job.
        space: the space.
        assignment: what was chosen for the trial.

    Returns:
        The problem with a path such as ``space.objective.choice.1.a``; as it is, if it concerns
        nothing that the space has set.
    """
    for path, content in space.entries:
        inside = problem.path == path or problem.path.startswith(f"{path}.")
        if inside:
            keys = [key for key in problem.path[len(path) + 1 :].split(".") if key]
            place = _place(content, keys, f"{PLACE}.{path}", space, assignment)
            return replace(problem, path=place, location=None)
        # A path that led nowhere made the sections on its way, which are what is wrong.
        if problem.path and path.startswith(f"{problem.path}."):
            return replace(problem, path=f"{PLACE}.{path}", location=None)
    return problem


def _place(
    content: Any, keys: list[str], at: str, space: Space, assignment: Mapping[str, Value]
) -> str:
    if isinstance(content, Slot):
        domain = space.parameter(content.name).domain
        if not isinstance(domain, Options):
            return at
        index = domain.index(assignment[content.name])
        at = f"{at}.{domain.kind}.{index}"
        return _place(domain.contents[index], keys, at, space, assignment)
    if not keys:
        return at
    key, *rest = keys
    inner: Any = None
    if isinstance(content, dict):
        inner = content.get(key)
    elif isinstance(content, list) and key.isdecimal() and int(key) < len(content):
        inner = content[int(key)]
    return _place(inner, rest, f"{at}.{key}", space, assignment)


def _unknown_key(keys: list[str], form: type[BaseModel]) -> tuple[str, str] | None:
    """The first section on the way that lacks the next key, and the key."""
    for depth, key in enumerate(keys):
        loc = [int(part) if part.isdecimal() else part for part in keys[:depth]]
        annotation = type_at(loc, form) if loc else form
        if not isinstance(annotation, type) or not issubclass(annotation, BaseModel):
            continue
        if annotation.model_config.get("extra") == "allow" or key in keys_of(annotation):
            continue
        return ".".join(keys[:depth]), key
    return None
