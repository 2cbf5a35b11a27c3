"""The text of sizes: `parse_dim` reads what ``str`` of a `Dim` prints."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

from kir.errors import ShapeError
from kir.ir.dims import NAME_PATTERN, Dim, floor_divide, minimum, sum_of, symbol

MAX_TEXT: Final = 1_000_000
MAX_PARENTHESES: Final = 50  # each nested division prints at most two, each minimum one

_TOKEN: Final = re.compile(rf"\s*(?:(?P<number>[0-9]+)|(?P<name>{NAME_PATTERN})|(?P<operator>//|[-+*%(),]))")


def parse_dim(text: str) -> Dim:
    """Return the size that a text says: integers, names, ``+ - * // % min`` and parentheses, as in Python.

    Raises:
        ShapeError: the text is anything else, or too long.
    """
    if len(text) > MAX_TEXT:
        raise ShapeError(f"received a size of {len(text)} characters; expected at most {MAX_TEXT}")
    return _Parser(text).parse()


_FACTOR_OPERATORS: Final[Mapping[str, Callable[[Dim, Dim], Dim]]] = {
    "*": operator.mul,
    "//": floor_divide,
    "%": lambda a, b: a - floor_divide(a, b) * b,
}


class _Parser:
    """Recursive descent over the tokens of one size; one level per parenthesis, at most MAX_PARENTHESES."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.parentheses = 0
        self.kind, self.token = "", ""
        self.advance()

    def fail(self) -> ShapeError:
        shown = self.text if len(self.text) <= 80 else self.text[:77] + "..."
        found = repr(self.token) if self.token else "the end"
        return ShapeError(
            f"cannot read {shown!r} as a size: {found} is not expected before character {self.position}; "
            "expected integers, names, + - * // % min and parentheses, such as '(batch + 1)//2'"
        )

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.position)
        if match:
            self.position = match.end()
            self.kind, self.token = str(match.lastgroup), match[str(match.lastgroup)]
        else:
            self.kind, self.token = "end", self.text[self.position :].strip()[:1]
            if self.token:
                raise self.fail()

    def parse(self) -> Dim:
        dim = self.sum()
        if self.kind != "end":
            raise self.fail()
        return dim

    def sum(self) -> Dim:
        terms = [self.term()]
        while self.token in ("+", "-"):
            negative = self.token == "-"
            self.advance()
            terms.append(-self.term() if negative else self.term())
        return sum_of(terms)

    def term(self) -> Dim:
        dim = self.factor()
        while self.token in _FACTOR_OPERATORS:
            operation = _FACTOR_OPERATORS[self.token]
            self.advance()
            dim = operation(dim, self.factor())
        return dim

    def factor(self) -> Dim:
        negative = False
        while self.token == "-":
            negative = not negative
            self.advance()
        dim = self.operand()
        return -dim if negative else dim

    def operand(self) -> Dim:
        kind, token = self.kind, self.token
        if kind == "number" and len(token) <= 100:
            self.advance()
            return int(token)
        if kind == "name":
            self.advance()
            return minimum(*self.arguments(2)) if token == "min" and self.token == "(" else symbol(token)
        (dim,) = self.arguments(1)
        return dim

    def arguments(self, count: int) -> list[Dim]:
        """Read one or two sizes in parentheses: (a) or (a, b)."""
        if self.token != "(" or self.parentheses >= MAX_PARENTHESES:
            raise self.fail()
        self.parentheses += 1
        found = []
        for opening in "(,"[:count]:
            self.expect(opening)
            found.append(self.sum())
        self.expect(")")
        self.parentheses -= 1
        return found

    def expect(self, token: str) -> None:
        if self.token != token:
            raise self.fail()
        self.advance()
