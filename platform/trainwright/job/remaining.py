"""What else is wrong with a job that has mistakes in its form: plugins, DeepSpeed's section."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trainwright.errors import Problem
from trainwright.job.check import plugin_problems
from trainwright.job.deepspeed_rules import DEEPSPEED_RULES
from trainwright.job.models import TrainJob

_STAND_INS: dict[str, Any] = {
    "name": "job",
    "data": {"source": "digits"},
    "model": "mlp",
    "objective": "mse",
}
"""Sections that a job must have -> one whose form is right."""


def remaining_problems(
    values: Mapping[str, Any], base: Path, found: Iterable[Problem]
) -> list[Problem]:
    """Wrong plugin names and options, and DeepSpeed settings, in sections that can be read.

    Args:
        values: the job as it was written.
        base: folder of the job file.
        found: what is wrong with its form; those keys and values are left out.

    Returns:
        Problems without places. Nothing is told of a section that cannot be read without its
        mistakes, nor what only follows from a value that was left out.
    """

    def told(spec: TrainJob) -> list[Problem]:
        wrong_sections = {_section(problem.path) for problem in found}
        settings = [problem for rule in DEEPSPEED_RULES for problem in rule(spec)]
        right = [problem for problem in settings if _section(problem.path) not in wrong_sections]
        return [*plugin_problems(spec, base), *right]

    found = list(found)
    return told_of_the_readable(TrainJob, values, found, told)


Form = TypeVar("Form", bound=BaseModel)


def told_of_the_readable(
    form: type[Form],
    values: Mapping[str, Any],
    found: Sequence[Problem],
    told: Callable[[Form], list[Problem]],
    further: Mapping[str, Any] = MappingProxyType({}),
) -> list[Problem]:
    """What can be told of a job once the mistakes in its form are left out.

    Args:
        form: of the job.
        values: the job as it was written.
        found: what is wrong with its form.
        told: finds problems in a job that can be read.
        further: sections of the form that a job must have -> one whose form is right.

    Returns:
        Problems in the sections that could be read, at other places than those found already.
    """
    paths = [problem.path for problem in found]
    readable = copy.deepcopy(dict(values))
    for path in sorted(paths, key=_depth, reverse=True):
        _remove(readable, path.split("."))
    spec, replaced = _read(form, readable, {**_STAND_INS, **further})
    if spec is None:
        return []
    if "data.format" in paths:  # without it a folder of files may look like a dataset's name
        replaced.add("data")
    return [
        problem
        for problem in told(spec)
        if problem.path.partition(".")[0] not in replaced and problem.path not in paths
    ]


def _read(
    form: type[Form], values: dict[str, Any], stand_ins: Mapping[str, Any]
) -> tuple[Form | None, set[str]]:
    """The job with a stand-in for each section that cannot be read, and which these are."""
    replaced: set[str] = set()
    for section in _unreadable(form, values):
        replaced.add(section)
        values.pop(section, None)
        if section in stand_ins:
            values[section] = stand_ins[section]
    try:
        return form.model_validate(values, strict=True), replaced
    except ValidationError:
        return None, replaced


def _unreadable(form: type[BaseModel], values: Mapping[str, Any]) -> set[str]:
    try:
        form.model_validate(values, strict=True)
    except ValidationError as error:
        return {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
    return set()


def _remove(values: Any, keys: list[str]) -> None:
    """Take a value out of a section; what stands in a list keeps its place and is left alone."""
    for key in keys[:-1]:
        if isinstance(values, list):
            is_there = key.isdecimal() and int(key) < len(values)
            values = values[int(key)] if is_there else None
        else:
            values = values.get(key)
        if not isinstance(values, (dict, list)):
            return
    if isinstance(values, dict):
        values.pop(keys[-1], None)


def _section(path: str) -> str:
    return path.rpartition(".")[0]


def _depth(path: str) -> int:
    return path.count(".")
