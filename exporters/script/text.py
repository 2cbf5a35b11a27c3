"""Python source as the usual formatters write it: pieces that stand on one line if they fit, or one item to a line.

A line holds 88 characters, which formatters that allow more leave alone: what is broken ends in a comma.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from kir.support.naming import Names

WIDTH = 88
INDENT = "    "
MAX_IDENTIFIER = 40

# Names that a script must not hide, or that linters find hard to read.
_RESERVED = frozenset({"l", "K", "Path"}) | set(keyword.softkwlist)


@dataclass(frozen=True, slots=True)
class Group:
    """Items in brackets, with what stands before: ``Dense(64, name="dense")``, ``[a, b]``, ``(3,)``.

    Each item has what stands before it: "" or a keyword such as "name=".
    """

    head: str
    items: tuple[tuple[str, Piece], ...]
    close: str
    is_tuple: bool = False

    @property
    def flat(self) -> str:
        """Return the piece on one line."""
        inside = ", ".join(lead + flat(item) for lead, item in self.items)
        comma = "," if self.is_tuple and len(self.items) == 1 else ""
        return f"{self.head}{inside}{comma}{self.close}"


Piece = str | Group


def call(function: str, arguments: Iterable[Piece] = (), keywords: Iterable[tuple[str, Piece]] = ()) -> Group:
    """Return a call with positional arguments and keywords."""
    items = [("", argument) for argument in arguments]
    return Group(f"{function}(", (*items, *((f"{name}=", value) for name, value in keywords)), ")")


def sequence(items: Iterable[Piece], brackets: str = "[]") -> Group:
    """Return a list, or with brackets of "()" a tuple."""
    return Group(brackets[0], tuple(("", item) for item in items), brackets[1], brackets == "()")


def mapping(items: Iterable[tuple[Piece, Piece]]) -> Group:
    """Return a dict; the keys stand on one line."""
    return Group("{", tuple((f"{flat(key)}: ", value) for key, value in items), "}")


def flat(piece: Piece) -> str:
    """Return the piece on one line."""
    return piece if isinstance(piece, str) else piece.flat


def statement(lead: str, piece: Piece, indent: str = "") -> list[str]:
    """Return the lines of a statement such as ``x = Dense(...)``, of which `lead` is ``x = ``.

    Where not even ``x = Dense(`` fits, brackets bring the right side to a line of its own.
    """
    if isinstance(piece, Group) and piece.items and lead and len(f"{indent}{lead}{piece.head}") > WIDTH:
        return [f"{indent}{lead}(", *_lines(piece, indent + INDENT, "", ""), f"{indent})"]
    return _lines(piece, indent, lead, "")


def _lines(piece: Piece, indent: str, lead: str, tail: str) -> list[str]:
    line = f"{indent}{lead}{flat(piece)}{tail}"
    if len(line) <= WIDTH or isinstance(piece, str) or not piece.items:
        return [line]
    lines = [f"{indent}{lead}{piece.head}"]
    for item_lead, item in piece.items:
        lines += _lines(item, indent + INDENT, item_lead, ",")
    return [*lines, f"{indent}{piece.close}{tail}"]


def quote(text: str) -> str:
    """Return a string literal, in double quotes unless that takes more escapes. No text can leave it."""
    mark = '"' if text.count('"') <= text.count("'") else "'"
    body = "".join(f"\\{character}" if character == mark else _escaped(character) for character in text)
    return f"{mark}{body}{mark}"


def _escaped(character: str) -> str:
    if character in "'\"":
        return character
    return repr(character)[1:-1]


def number(value: float) -> str:
    """Return a literal for a Python number or truth value."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({quote(str(value))})"
    return repr(value).replace("e+", "e")


class Identifiers(Names):
    """Hands out the variables of a scope, each once, named like layers or operators."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        super().__init__({*taken, *_RESERVED, *keyword.kwlist, *dir(builtins)})

    def new(self, wanted: str) -> str:
        """Return an identifier like the wanted name: its letters, digits and underscores, in lower case."""
        return self.unique(identifier(wanted))


def identifier(text: str) -> str:
    """Return the text as a short Python identifier of ASCII letters. Different texts may give the same."""
    cleaned = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()[:MAX_IDENTIFIER].rstrip("_")
    if not cleaned:
        return "x"
    return cleaned if cleaned[0].isalpha() else f"x{cleaned}"


def import_lines(imports: Iterable[tuple[str, str]]) -> list[str]:
    """Return the import statements for pairs of a module and a name in it (or "name as other"), in linters' order."""
    by_module: dict[str, set[str]] = {}
    for module, name in imports:
        by_module.setdefault(module, set()).add(name)
    lines: list[str] = []
    if "pathlib" in by_module:
        lines += [*_import_statements("pathlib", by_module.pop("pathlib")), ""]
    for module in sorted(by_module):
        lines += _import_statements(module, by_module[module])
    return lines


def _import_statements(module: str, names: set[str]) -> list[str]:
    plain = sorted((name for name in names if " as " not in name), key=_import_key)
    renamed = sorted(name for name in names if " as " in name)
    lines = [f"from {module} import {name}" for name in renamed]
    line = f"from {module} import {', '.join(plain)}"
    if not plain:
        return lines
    if len(line) <= WIDTH:
        return [line, *lines]
    return [f"from {module} import (", *[f"{INDENT}{name}," for name in plain], ")", *lines]


def _import_key(name: str) -> tuple[int, str, str]:
    """Constants, then classes, then functions, each in the order of the alphabet."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2
    return kind, name.lower(), name
