"""What the form of a procedure's job cannot say, and what can be told of one with mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainwright.errors import Problem
from trainwright.job import Job
from trainwright.job.check import Use, problems_of_uses
from trainwright.job.data_rules import DATA_RULES
from trainwright.job.models import DataSpec
from trainwright.job.plugin_spec import PluginSpec
from trainwright.job.streaming_rules import READING_RULES
from trainwright.procedure.spec import ProcedureJob, TaskCluster

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class _WithData:
    data: DataSpec
    cluster: TaskCluster


def broken_rules(job: Job[ProcedureJob]) -> list[Problem]:
    """Every problem of a procedure's job whose form is right."""
    spec = job.spec
    problems = _runs_have_names(spec)
    if spec.data is not None:
        whole = _WithData(spec.data, spec.cluster)
        rules = (*DATA_RULES, *READING_RULES)
        problems += [problem for rule in rules for problem in rule(whole)]
    return problems


def remaining_problems(
    values: Mapping[str, Any], base: Path, found: Iterable[Problem]
) -> list[Problem]:
    """What is wrong with the procedure of a job in whose form mistakes were found already.

    Args:
        values: the job as it was written.
        base: folder of the job file.
        found: what is wrong with its form.
    """
    if any(problem.path.partition(".")[0] == "procedure" for problem in found):
        return []
    try:
        spec = PluginSpec.model_validate(values.get("procedure"))
    except ValidationError:
        return []
    return problems_of_uses([Use("procedures", spec, "procedure")], base)


def _runs_have_names(spec: ProcedureJob) -> list[Problem]:
    wrong = [
        Problem(f"runs.{name}", "is no name for a run", name, "letters, digits, . _ and -")
        for name in spec.runs
        if not _NAME.fullmatch(name)
    ]
    empty = [
        Problem(f"runs.{name}", "names no run", source, "RUN[@best|last|STEP]")
        for name, source in spec.runs.items()
        if isinstance(source, str) and not source.partition("@")[0]
    ]
    return [*wrong, *empty]
