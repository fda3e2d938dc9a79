"""The language of constraints: what may stand in one, and how it is evaluated.

A constraint is written as in Python: comparisons (also chains and ``in``), ``and``, ``or``,
``not``, ``+ - * / // % **``, numbers, texts, lists, and the functions of ``FUNCTIONS``. A name is
a dotted path of the job; entries of lists and keys that are no words stand in brackets
(``strategies[0].name``, ``objective['lambda']``). Nothing is ever evaluated as Python.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.search.space.domain import is_number

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "len": len,
    "log": math.log,
    "max": max,
    "min": min,
    "sqrt": math.sqrt,
}

WORDS = {"true": True, "false": False, "null": None, "none": None}
"""Constants as YAML writes them."""

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_LONGEST = 4096
"""Most binary digits of a power of whole numbers."""


class AbsentError(Exception):
    """The job has nothing at a path that the expression needs."""


class UndefinedError(Exception):
    """The expression has no value here; the message says why."""


def name_of(node: ast.AST) -> str | None:
    """The name that a node spells, or None if it spells none: ``a.b``, ``a[0].b``, ``a[b].c``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        outer = name_of(node.value)
        return outer and f"{outer}.{node.attr}"
    if not isinstance(node, ast.Subscript):
        return None
    outer = name_of(node.value)
    key = node.slice.value if isinstance(node.slice, ast.Constant) else name_of(node.slice)
    if outer is None or not isinstance(key, (str, int)) or isinstance(key, bool):
        return None
    return f"{outer}[{key}]"


def looked_up(name: str, values: Mapping[str, Any]) -> Any:
    """The value of a name; ``a[b]`` is the parameter of that name, or else the path ``a.b``.

    Raises:
        AbsentError: there is none.
    """
    for spelling in (name, name.replace("[", ".").replace("]", "")):
        if spelling in values:
            return values[spelling]
    raise AbsentError(name)


def evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of an expression that the parser let pass.

    Args:
        node: the expression.
        values: name -> value.

    Raises:
        AbsentError: a name that is needed is not among ``values``.
        UndefinedError: it has no value, as ``1 / 0`` has none.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BoolOp):
        # As in Python, what stands behind a decision is not looked at.
        ends = isinstance(node.op, ast.Or)
        return ends if any(truth(part, values) is ends for part in node.values) else not ends
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not truth(node.operand, values)
    if isinstance(node, ast.Compare):
        return _compared(node, values)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [evaluate(item, values) for item in node.elts]
    if (name := name_of(node)) is not None:
        return WORDS[name] if name in WORDS else looked_up(name, values)
    return _calculated(node, values)


def truth(node: ast.expr, values: Mapping[str, Any]) -> bool:
    """The value of an expression that must be true or false."""
    value = evaluate(node, values)
    if not isinstance(value, bool):
        raise UndefinedError(f"{ast.unparse(node)} is {value!r}, neither true nor false")
    return value


def _compared(node: ast.Compare, values: Mapping[str, Any]) -> bool:
    left = evaluate(node.left, values)
    for sign, part in zip(node.ops, node.comparators, strict=True):
        right = evaluate(part, values)
        if isinstance(sign, (ast.In, ast.NotIn)) and not isinstance(right, list):
            raise UndefinedError(f"{ast.unparse(part)} is {right!r}, which is no list")
        try:
            holds = COMPARISONS[type(sign)](left, right)
        except TypeError:
            message = f"{left!r} and {right!r} have no order"
            raise UndefinedError(message) from None
        if not holds:
            return False
        left = right
    return True


def _calculated(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of an operation or a call."""
    try:
        if isinstance(node, ast.UnaryOp):
            number = _number(node.operand, values)
            return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.BinOp):
            left, right = _number(node.left, values), _number(node.right, values)
            return (
                _power(left, right)
                if isinstance(node.op, ast.Pow)
                else ARITHMETIC[type(node.op)](left, right)
            )
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return FUNCTIONS[node.func.id](*(evaluate(part, values) for part in node.args))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UndefinedError(f"{ast.unparse(node)}: {error}") from None


def _number(node: ast.expr, values: Mapping[str, Any]) -> int | float:
    value: Any = evaluate(node, values)
    if not is_number(value):
        raise UndefinedError(f"{ast.unparse(node)} is {value!r}, which is no number")
    number: int | float = value
    return number


def _power(base: int | float, exponent: int | float) -> int | float:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and exponent * int(base).bit_length() > _LONGEST:
        raise OverflowError("too large a number")
    power: Any = base**exponent
    if isinstance(power, complex):
        raise ValueError("the root of a negative number is no real number")
    number: int | float = power
    return number
