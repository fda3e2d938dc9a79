"""Constraints: what the values of a trial must fulfil together."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from trainwright.errors import JobError, Problem
from trainwright.search.space.expression import (
    ARITHMETIC,
    COMPARISONS,
    FUNCTIONS,
    WORDS,
    AbsentError,
    UndefinedError,
    looked_up,
    name_of,
    truth,
)
from trainwright.suggest import nearest, one_of

PLACE = "constraints"
"""Where they stand in the job."""

_FORM = (
    "comparisons of dotted paths, numbers, texts and lists with and, or, not, in, + - * / // % ** "
    f"and {', '.join(FUNCTIONS)}: model.width * model.depth <= 512"
)
_PLAIN = (ast.BoolOp, ast.Compare, ast.List, ast.Tuple)
_UNARY = (ast.Not, ast.USub, ast.UAdd)


@dataclass(frozen=True)
class Constraint:
    """One line, understood.

    Attributes:
        text: as written.
        path: where it stands in the job.
        names: what it speaks of, in the order of the text.
    """

    text: str
    path: str
    names: tuple[str, ...]
    _tree: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: Any, path: str = PLACE) -> Constraint:
        """Understand one line.

        Args:
            text: as written.
            path: where it stands in the job.

        Raises:
            JobError: it has another form.
        """
        if not isinstance(text, str) or not text.strip():
            raise JobError(Problem(path, "is no condition", text, _FORM))
        try:
            tree = ast.parse(" ".join(text.split("\n")).strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise JobError(_unreadable(text, path, error)) from None
        names = list(_names(tree, text, path))
        if not names:
            message = "speaks of no value of the job"
            raise JobError(Problem(path, message, text, _FORM))
        return cls(text, path, tuple(dict.fromkeys(names)), tree)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is fulfilled.

        It does not bind a trial that lacks what it speaks of, such as an option of an objective
        that was not chosen.

        Args:
            values: dotted path or parameter name -> value, as from ``named_values``.

        Raises:
            JobError: it has no truth value there, as where it divides by zero.
        """
        try:
            return truth(self._tree, values)
        except AbsentError:
            return True
        except UndefinedError as error:
            known = dict(_known(self.names, values))
            mend = "put a condition before it: a != 0 and b / a < 3"
            message = f"cannot be told: {error}"
            raise JobError(Problem(self.path, message, known, mend=mend)) from None


def parse_constraints(lines: Sequence[Any]) -> tuple[Constraint, ...]:
    """All constraints of a job.

    Raises:
        JobError: some have another form, with every problem that was found.
    """
    found: list[Constraint] = []
    problems: list[Problem] = []
    for index, line in enumerate(lines):
        try:
            found.append(Constraint.parse(line, f"{PLACE}.{index}"))
        except JobError as error:
            problems += error.problems
    if problems:
        raise JobError(problems)
    return tuple(found)


def violated(
    constraints: Sequence[Constraint], values: Mapping[str, Any]
) -> tuple[Constraint, ...]:
    """Those that do not hold."""
    return tuple(constraint for constraint in constraints if not constraint.holds(values))


def _known(names: Sequence[str], values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in names:
        with suppress(AbsentError):
            yield name, looked_up(name, values)


def _unreadable(text: str, path: str, error: Exception) -> Problem:
    offset = error.offset if isinstance(error, SyntaxError) else None
    column = f" at column {offset + len(text) - len(text.lstrip())}" if offset else ""
    mend = None
    if "=" in text.replace("==", "").replace("<=", "").replace(">=", "").replace("!=", ""):
        mend = "two values are compared by =="
    elif any(f".{digit}" in text for digit in range(10)):
        mend = "the entry of a list stands in brackets: strategies[0].name"
    elif any(sign in text for sign in ("&&", "||", "!")):
        mend = "write and, or, not"
    return Problem(path, f"cannot be understood{column}", text, _FORM, mend=mend)


def _names(node: ast.AST, text: str, path: str) -> Iterator[str]:
    """The names in a tree, in order, all of which must consist of what is allowed."""

    def refused(message: str, near: str | None = None, allowed: str = _FORM) -> JobError:
        column = getattr(node, "col_offset", 0) + 1 + len(text) - len(text.lstrip())
        return JobError(Problem(path, f"column {column}: {message}", text, allowed, nearest=near))

    if (name := name_of(node)) is not None:
        if name not in WORDS:
            yield name
        return
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, (str, int, float, bool, type(None))):
            raise refused(f"{node.value!r} is no value of a job")
        return
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            called = ast.unparse(node.func)
            near = nearest(called, FUNCTIONS)
            raise refused(f"there is no function {called!r}", near, one_of(FUNCTIONS))
        if node.keywords or not node.args:
            raise refused(f"{node.func.id} takes values alone, at least one")
    elif not _is_allowed(node):
        raise refused(f"{ast.unparse(node)!r} is not allowed here")
    parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    for part in parts:
        if isinstance(part, ast.expr):
            yield from _names(part, text, path)


def _is_allowed(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, _UNARY)
    if isinstance(node, ast.BinOp):
        return type(node.op) in ARITHMETIC or isinstance(node.op, ast.Pow)
    if isinstance(node, ast.Compare):
        return all(type(sign) in COMPARISONS for sign in node.ops)
    return isinstance(node, _PLAIN)
