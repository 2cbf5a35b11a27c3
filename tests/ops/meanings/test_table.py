"""The table of meanings: which operators a function covers, and what is made of its results."""

from __future__ import annotations

import numpy as np
import pytest

from kir.errors import UnsupportedError
from kir.ir.types import parse_type
from kir.ops.meanings.table import MEANINGS, means
from kir.ops.opaque import Opaque, Setting, asking

DOMAIN = "com.example"


@pytest.fixture(autouse=True)
def scale_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the operator Scale two meanings for the time of a test."""
    monkeypatch.setitem(MEANINGS, (DOMAIN, "Scale"), [])

    @means("Scale", domain=DOMAIN, exact=True, before=2)
    def scale(x: np.ndarray, bias: np.ndarray | None = None, *, by: int) -> np.ndarray:
        return x * by if bias is None else x * by + bias

    @means("Scale", domain=DOMAIN, since=2)
    def scale_and_count(x: np.ndarray, *, op: Opaque, by: float = 2.0) -> tuple[np.ndarray, ...]:
        return (x * by).astype(op.types[0].dtype.numpy), np.array(x.size)


def scale(version: int = 1, left_out: tuple[int, ...] = (), types: str = "f32[3]", **settings: Setting) -> Opaque:
    parsed = tuple(map(parse_type, types.split("; ")))
    return Opaque(DOMAIN, "Scale", version, tuple(sorted(settings.items())), parsed, left_out)


X = np.arange(3, dtype=np.float32)


def test_inputs_and_attributes_are_passed_on() -> None:
    assert scale(by=3).eval(X).tolist() == [0, 3, 6]
    assert scale(by=3).eval(X, np.ones(3, np.float32)).tolist() == [1, 4, 7]
    assert scale(by=3).deterministic


def test_versions_and_attributes_decide_whether_it_is_covered() -> None:
    assert scale(2).meaning is not None
    assert scale(2).meaning is not scale(1, by=2).meaning
    for unknown in (scale(1), scale(1, by=2, more=1), scale(2, more=1)):
        assert unknown.meaning is None
        assert not unknown.deterministic
        with pytest.raises(UnsupportedError, match=r"com\.example\.Scale"):
            unknown.eval(X)


def test_types_are_widened_and_outputs_left_out() -> None:
    op = scale(2, types="f16[3]; i64[]")
    assert [y.dtype for y in op.eval(X)] == [np.float16, np.int64]
    assert op.widen().eval(X)[0].dtype == np.float64
    doubled, count = scale(2, (1,), "f16[3]; bool[]").eval(X)
    assert doubled.tolist() == [0, 2, 4]
    assert count.dtype == bool


def test_a_runtime_computes_what_has_no_meaning() -> None:
    op = scale(2, more=1)
    types = parse_type("f32[3]")
    with asking(lambda op, inputs: tuple(x + 1 for x in inputs if x is not None)):
        assert op.eval(X).tolist() == [1, 2, 3]
        wide = op.prepare_wide(types)(X.astype(np.float64))
        assert wide.dtype == np.float64
        assert wide.tolist() == [1, 2, 3]
        assert scale(by=3).eval(X).tolist() == [0, 3, 6]


def test_an_input_that_selects_says_from_what() -> None:
    types = (parse_type("f32[2,5]"), parse_type("i64[2,3]"))
    scatter = Opaque("", "ScatterElements", 16, (("axis", 1),), types[:1])
    assert scatter.meaning is not None
    assert list(scatter.meaning.ranges[1](types, dict(scatter.settings))) == [5]
    assert list(scatter.meaning.ranges[1](types, {})) == [2]


def test_an_index_outside_is_an_error_of_the_input() -> None:
    scatter = Opaque("", "ScatterElements", 16, (), (parse_type("f32[2]"),))
    with pytest.raises(ValueError, match="out of bounds"):
        scatter.eval(np.zeros(2, np.float32), np.array([7]), np.zeros(1, np.float32))
