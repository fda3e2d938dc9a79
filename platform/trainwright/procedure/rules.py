"""What the form of a procedure's job cannot say, and what can be told of one with mistakes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainwright.errors import Problem
from trainwright.job import Job
from trainwright.job.data_rules import DATA_RULES
from trainwright.job.models import ClusterSpec, DataSpec
from trainwright.procedure.spec import ProcedureJob

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class _WithData:
    data: DataSpec
    cluster: ClusterSpec


def broken_rules(job: Job[ProcedureJob]) -> list[Problem]:
    """Every problem of a procedure's job whose form is right."""
    spec = job.spec
    problems = _runs_have_names(spec)
    if spec.data is not None:
        whole = _WithData(spec.data, spec.cluster)
        problems += [problem for rule in DATA_RULES for problem in rule(whole)]
    return problems


def _runs_have_names(spec: ProcedureJob) -> list[Problem]:
    wrong = [
        Problem(f"runs.{name}", "is no name for a run", name, "letters, digits, . _ and -")
        for name in spec.runs
        if not _NAME.fullmatch(name)
    ]
    empty = [
        Problem(f"runs.{name}", "names no run", source, "RUN[@best|last|STEP]")
        for name, source in spec.runs.items()
        if not source.partition("@")[0]
    ]
    return [*wrong, *empty]
