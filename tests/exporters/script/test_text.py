"""Source text: literals that stay literals, identifiers, and the layout of formatters."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir.exporters.script.text import (
    Identifiers,
    call,
    identifier,
    import_lines,
    mapping,
    number,
    quote,
    sequence,
    statement,
)
from tests.exporters.script.round_trip import complaints

HOSTILE = ['"""', "'''", '"; import os; "', "\\", '\\"', "a\nb", "\r", "\u2028", "\x00", "\ud800", "{x}", "é", "層", ""]


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_quoted_text_is_one_literal_of_one_line(text: str) -> None:
    literal = quote(text)
    assert ast.literal_eval(literal) == text
    assert len(literal.splitlines()) == 1
    literal.encode()


def test_quotes_are_those_that_need_fewer_escapes() -> None:
    assert quote("it's") == '"it\'s"'
    assert quote('say "it"') == "'say \"it\"'"
    assert quote("\"'") == '"\\"\'"'


@given(
    st.text() | st.sampled_from([*HOSTILE, "lambda", "print", "l", "K", "1", "__import__", "Dense/kernel", "a" * 500])
)
def test_an_identifier_is_one_whatever_the_name(text: str) -> None:
    assert identifier(text).isidentifier()
    assert identifier(text).isascii()
    assert len(identifier(text)) <= 41
    names = Identifiers(["model"])
    found = [names.new(text) for _ in range(3)]
    assert len(set(found)) == 3
    for name in found:
        ast.parse(f"{name} = 0")
        assert name not in {"model", "print", "l", "K", "x__"}


@pytest.mark.parametrize("value", [0.1, 1e-7, -1e38, -3, True, float("inf"), float("-inf")])
def test_a_number_reads_as_itself(value: float) -> None:
    assert eval(number(value)) == value


def test_broken_lines_are_those_of_the_formatter(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    f = "def f(*args, **kwargs):", "    return args, kwargs", "", ""
    words = [quote("word" * 5) for _ in range(6)]
    lines = [
        *f,
        *statement("a = ", call("f", keywords=[("short", "1")])),
        *statement("b = ", call("f", [sequence(words)], [("other", mapping([(quote("key"), sequence(words, "()"))]))])),
        *statement("c = ", sequence(["1"], "()")),
        *statement("g = ", number(-1e38)),
        *statement("d = ", sequence([quote("long" * 30)], "()")),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert complaints([path]) == ""
    assert complaints([path], width=120) == ""
    assert max(map(len, lines[:-3])) <= 88


def test_a_call_whose_head_does_not_fit_stands_in_brackets(tmp_path: Path) -> None:
    f = "def f(*args):", "    return args", "", ""
    short, long = (f"{'long' * 20}{'x' * count}, a = " for count in (0, 1))
    lines = [*f, *statement(short, call("f", ["1"] * 2)), *statement(long, call("f", ["1"] * 2))]
    (tmp_path / "long.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert lines[-4:-2] == [")", f"{long}("]
    assert complaints([tmp_path / "long.py"]) == ""


def test_imports_are_sorted_and_broken_as_linters_want_them(tmp_path: Path) -> None:
    names = [
        "LSTM",
        "GRU",
        "Dense",
        "add",
        "SpatialDropout1D",
        "Activation",
        "Concatenate",
        "TimeDistributed",
        "Flatten",
    ]
    pairs = [("kir.layers", name) for name in names]
    lines = import_lines([*pairs, ("kir", "backend as K"), ("kir", "Model"), ("kir", "Input"), ("pathlib", "Path")])
    path = tmp_path / "imports.py"
    used = ", ".join([*names, "K", "Model", "Input", "Path"])
    path.write_text("\n".join([*lines, "", f"__all__ = [name.__name__ for name in ({used})]"]) + "\n", encoding="utf-8")
    assert "I001" not in complaints([path])
