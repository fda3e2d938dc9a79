"""From the text of an ``expect:`` line to its parts; nothing is ever evaluated as Python."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from trainwright.compare.expectation.tokens import ExpectationError, Token, tokens_of
from trainwright.compare.expectation.tree import (
    MOMENTS,
    Arithmetic,
    Line,
    Node,
    Number,
    Over,
    Quantity,
    Sign,
    Values,
)
from trainwright.suggest import nearest, one_of

COMPARISONS = ("<", "<=", ">", ">=")
OVER_SEEDS = ("mean", "median", "std", "min", "max", "lower", "upper")
PAIRED = {"difference": "-", "ratio": "/"}
FUNCTIONS = (*OVER_SEEDS, "value", *PAIRED, "abs")

__all__ = ["ExpectationError", "parse", "parse_quantity"]


def parse(text: str, variants: Collection[str]) -> Line:
    """Understand one line.

    Args:
        text: the line.
        variants: the names of the variants that it can speak of.

    Raises:
        ExpectationError: it has another form, or names a function or variant that there is not.
    """
    return _Parser(text, variants).line()


def parse_quantity(text: str) -> Quantity:
    """A quantity with its moment: ``validation/accuracy``, ``train/loss@tail``.

    Raises:
        ExpectationError: the moment is none.
    """
    if text.startswith("'"):
        name, _, moment = text[1:].partition("'")
        moment = moment.removeprefix("@")
    else:
        name, _, moment = text.partition("@")
    if not moment and not text.endswith("@"):
        return Quantity(name)
    if moment.isdecimal():
        return Quantity(name, int(moment))
    if moment not in MOMENTS:
        allowed = f"{one_of(MOMENTS)}, or a step"
        message = f"there is no moment {moment!r} of a run"
        raise ExpectationError(message, text, allowed, nearest(moment, MOMENTS))
    return Quantity(name, moment)


class _Parser:
    """Reads a line by recursive descent, one method for each rule of the grammar."""

    def __init__(self, text: str, variants: Collection[str]) -> None:
        self._text = text
        self._variants = variants
        self._tokens = tokens_of(text)
        self._next = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str | None:
        """The next token if it is one of ``texts``, which is then behind us."""
        if self._token.form == "end" or self._token.text not in texts:
            return None
        self._next += 1
        return self._tokens[self._next - 1].text

    def _need(self, *texts: str) -> str:
        taken = self._take(*texts)
        if taken is None:
            raise self._unexpected(" or ".join(repr(text) for text in texts))
        return taken

    def _unexpected(self, wanted: str, options: Collection[str] = ()) -> ExpectationError:
        token = self._token
        before = self._text[: token.start].strip()
        after = f" after {before!r}" if before else " at the beginning"
        got = token.text or "the end of the line"
        closest = nearest(token.text, options) if token.text else None
        return ExpectationError(f"expected {wanted}{after}", got, nearest=closest)

    def line(self) -> Line:
        sides = [self._side()]
        operators: list[str] = []
        while self._token.text in COMPARISONS:
            operators.append(self._need(*COMPARISONS))
            sides.append(self._side())
        if not operators:
            raise self._unexpected("a comparison: <, <=, > or >=")
        share = self._share() if self._take("for") else None
        if self._token.form != "end":
            raise self._unexpected("the end, or 'for ... seeds'", ("for",))
        return self._complete(Line(self._text, tuple(sides), tuple(operators), share))

    def _complete(self, line: Line) -> Line:
        """Refuse a line whose sides and whose word about seeds do not go together."""
        per_seed = any(side.is_per_seed for side in line.sides)
        if per_seed and line.share is None:
            message = "one side has a value for each seed, and the line does not say for how many"
            allowed = "'for all seeds' or 'for 8 of 10 seeds' at its end, or mean(...) around it"
            raise ExpectationError(message, line.text, allowed)
        if not per_seed and line.share is not None:
            message = "both sides are single numbers, so that no seeds can be counted"
            allowed = "value(...) or difference(...) instead of mean(...), or no 'for ...'"
            raise ExpectationError(message, line.text, allowed)
        if not line.leaves:
            raise ExpectationError("the line speaks of no variant", line.text)
        return line

    def _share(self) -> Fraction:
        if self._take("all"):
            self._need("seeds")
            return Fraction(1)
        if self._take("at"):
            self._need("least")
        some = self._whole_number()
        self._need("of")
        many = self._whole_number()
        self._need("seeds")
        if not 0 < some <= many:
            raise ExpectationError("is no part of the seeds", f"{some} of {many} seeds")
        return Fraction(some, many)

    def _whole_number(self) -> int:
        if self._token.form != "number" or not self._token.text.isdecimal():
            raise self._unexpected("'all' or a whole number")
        self._next += 1
        return int(self._tokens[self._next - 1].text)

    def _side(self) -> Node:
        left = self._term()
        while operator := self._take("+", "-"):
            left = Arithmetic(operator, left, self._term())
        return left

    def _term(self) -> Node:
        left = self._factor()
        while operator := self._take("*", "/"):
            left = Arithmetic(operator, left, self._factor())
        return left

    def _factor(self) -> Node:
        if self._take("-"):
            return Sign("-", self._factor())
        if self._take("("):
            inner = self._side()
            self._need(")")
            return inner
        if self._token.form == "number":
            self._next += 1
            return Number(float(self._tokens[self._next - 1].text))
        return self._call()

    def _call(self) -> Node:
        function = self._take(*FUNCTIONS)
        if function is None:
            raise self._unexpected(f"a number or one of {one_of(FUNCTIONS)}", FUNCTIONS)
        self._need("(")
        if function == "value":
            node: Node = self._values()
        elif function in PAIRED:
            node = self._paired(PAIRED[function])
        elif function == "abs":
            node = Sign("abs", self._side())
        else:
            node = Over(function, self._over())
        self._need(")")
        return node

    def _over(self) -> Node:
        """What a function over seeds is taken over: ``quantity, variant``, or a side."""
        if self._token.form == "word" and self._tokens[self._next + 1].text != "(":
            return self._values()
        start = self._token.start
        side = self._side()
        if not side.is_per_seed:
            got = self._text[start : self._token.start].strip()
            message = "a function over seeds needs one value for each seed"
            allowed = "quantity, variant; or value(...), difference(...), ratio(...)"
            raise ExpectationError(message, got, allowed)
        return side

    def _values(self) -> Values:
        quantity = self._quantity()
        self._need(",")
        return Values(quantity, self._variant())

    def _paired(self, operator: str) -> Node:
        first = self._values()
        self._need(",")
        return Arithmetic(operator, first, Values(first.quantity, self._variant()))

    def _quantity(self) -> Quantity:
        if self._token.form != "word":
            raise self._unexpected("the name of a quantity, as validation/accuracy")
        self._next += 1
        return parse_quantity(self._tokens[self._next - 1].text)

    def _variant(self) -> str:
        if self._token.form != "word":
            raise self._unexpected(f"a variant: {one_of(self._variants)}")
        name = self._token.text
        if name not in self._variants:
            closest = nearest(name, self._variants)
            message = f"there is no variant {name!r}"
            raise ExpectationError(message, name, one_of(self._variants), closest)
        self._next += 1
        return name
