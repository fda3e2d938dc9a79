"""What the form of a comparison cannot say: its variants are jobs, its expectations make sense."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from trainwright.compare.expectation import ExpectationError, Line, Quantity, parse
from trainwright.compare.expectation.parsing import parse_quantity
from trainwright.compare.spec import CompareJob
from trainwright.compare.variants import CompareJobFile, run_label, variants_of
from trainwright.errors import JobError, Problem
from trainwright.suggest import nearest, one_of

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LONGEST_LABEL = 63
COMPARED = ("train", "procedure", "federated")
"""Kinds of job whose runs can be compared."""


def broken_rules(job: CompareJobFile) -> list[Problem]:
    """Every problem of a comparison whose form is right."""
    problems = [problem for rule in _RULES for problem in rule(job.spec)]
    _, wrong = expectations(job.spec)
    named = ("name", *(f"variants.{name}" for name in job.spec.variants))
    if any(problem.path in named for problem in problems):  # labels and paths would be wrong
        return [*problems, *wrong]
    return [*problems, *wrong, *_variant_problems(job)]


def expectations(spec: CompareJob) -> tuple[list[Line], list[Problem]]:
    """The lines that can be understood, and what is wrong with the others."""
    lines: list[Line] = []
    problems: list[Problem] = []
    for index, text in enumerate(spec.expect):
        try:
            lines.append(parse(text, spec.variants))
        except ExpectationError as error:
            problems.append(_problem(f"expect.{index}", error))
    return lines, problems


def _problem(path: str, error: ExpectationError) -> Problem:
    return Problem(path, error.message, error.got, error.allowed, error.nearest)


def reported(spec: CompareJob) -> tuple[list[Quantity], list[Problem]]:
    """The quantities that ``report`` names, and what is wrong with the others."""
    found: list[Quantity] = []
    problems: list[Problem] = []
    for index, text in enumerate(spec.report):
        try:
            found.append(parse_quantity(text))
        except ExpectationError as error:
            problems.append(_problem(f"report.{index}", error))
    return found, problems


def _report_is_readable(spec: CompareJob) -> list[Problem]:
    return reported(spec)[1]


def _variants_have_names(spec: CompareJob) -> list[Problem]:
    return [
        Problem(f"variants.{name}", "is no name for a variant", name, "letters, digits and _")
        for name in spec.variants
        if not _NAME.fullmatch(name)
    ]


def _labels_are_short(spec: CompareJob) -> list[Problem]:
    longest = max((run_label(spec.name, v, max(spec.seed_list)) for v in spec.variants), key=len)
    if len(longest) <= _LONGEST_LABEL:
        return []
    message = f"makes labels of runs longer than {_LONGEST_LABEL} characters ({longest})"
    return [Problem("name", message, spec.name, mend="shorten it, or the names of variants")]


def _baseline_is_a_variant(spec: CompareJob) -> list[Problem]:
    return _unknown("baseline", spec.baseline, spec)


def _methods_are_variants(spec: CompareJob) -> list[Problem]:
    problems: list[Problem] = []
    for index, name in enumerate(spec.methods or []):
        problems += _unknown(f"methods.{index}", name, spec)
        if name == spec.baseline:
            problems.append(Problem(f"methods.{index}", "is the baseline itself", name))
    return problems


def _unknown(path: str, name: str, spec: CompareJob) -> list[Problem]:
    if name in spec.variants:
        return []
    closest = nearest(name, spec.variants)
    return [Problem(path, "is none of the variants", name, one_of(spec.variants), closest)]


def _seeds_differ(spec: CompareJob) -> list[Problem]:
    twice = [seed for seed, count in Counter(spec.seed_list).items() if count > 1]
    return [Problem("seeds", f"has {seed} twice", spec.seeds) for seed in twice]


_RULES = (
    _variants_have_names,
    _labels_are_short,
    _baseline_is_a_variant,
    _methods_are_variants,
    _seeds_differ,
    _report_is_readable,
)


def _variant_problems(job: CompareJobFile) -> list[Problem]:
    """What is wrong with the variants as jobs; what all share is told once."""
    kind = job.spec.base.get("kind", "train")
    if kind not in COMPARED:
        message = "only single runs can be compared"
        return [Problem("base.kind", message, kind, one_of(COMPARED))]
    try:
        variants = variants_of(job)
    except JobError as error:
        return error.problems
    found: dict[Problem, Problem] = {}
    for variant in variants.values():
        try:
            variant.job(job.spec.seed_list[0])
        except JobError as error:
            for problem in error.problems:
                found.setdefault(replace(problem, got=repr(problem.got)), problem)
    return list(found.values())
