"""Symbolic sizes against Python's own integers."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kir.errors import ShapeError
from kir.ir.dim_parser import parse_dim
from kir.ir.dims import (
    MAX_NESTING,
    Dim,
    Sym,
    bind_dim,
    divide_exactly,
    is_known,
    maximum,
    minimum,
    product,
    substitute,
    symbol,
)
from kir.ir.types import parse_type

A, B, C, BATCH = symbol("a"), symbol("b"), symbol("c"), symbol("batch")

# An expression is an integer, a name or (operator, left, right): evaluated over sizes and over plain integers alike.
Expression: TypeAlias = "int | str | tuple[str, Expression, Expression]"
OPERATORS: Mapping[str, Callable[[Dim, Dim], Dim]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "min": minimum,
    "max": maximum,
}

names = st.sampled_from(["a", "b", "batch"])
leaves = st.one_of(st.integers(-12, 12), names)
divisors: st.SearchStrategy[Expression] = st.one_of(
    st.integers(-6, 12).filter(bool),
    names,
    st.tuples(st.just("*"), st.integers(1, 4), names),
    st.tuples(st.just("*"), names, names),
    st.tuples(st.just("+"), names, st.integers(0, 4)),
    st.tuples(st.just("-"), names, names),
)


def combine(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "min", "max"]), inner, inner),
        st.tuples(st.sampled_from(["//", "%"]), inner, st.one_of(divisors, inner)),
    )


expressions: st.SearchStrategy[Expression] = st.recursive(leaves, combine, max_leaves=10)
sizes = st.fixed_dictionaries({name: st.integers(1, 40) for name in ("a", "b", "batch")})


def evaluate(expression: Expression, values: Mapping[str, Dim]) -> Dim:
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return values[expression]
    name, left, right = expression
    return OPERATORS[name](evaluate(left, values), evaluate(right, values))


def build(expression: Expression) -> Dim:
    """Return the symbolic value, for expressions that do not divide by a size that is always 0."""
    try:
        return evaluate(expression, {"a": A, "b": B, "batch": BATCH})
    except (ZeroDivisionError, ShapeError):
        assume(False)
        raise


@given(expressions, sizes)
def test_every_expression_equals_integer_arithmetic(expression: Expression, values: dict[str, int]) -> None:
    dim = build(expression)
    try:
        expected = evaluate(expression, values)
    except ZeroDivisionError:
        assume(False)
    assert substitute(dim, values) == expected


@given(expressions)
def test_text_reads_back(expression: Expression) -> None:
    dim = build(expression)
    assert parse_dim(str(dim)) == dim
    assert str(parse_dim(str(dim))) == str(dim)


@given(expressions)
def test_copies_are_equal(expression: Expression) -> None:
    dim = build(expression)
    for other in (pickle.loads(pickle.dumps(dim)), copy.copy(dim), copy.deepcopy(dim)):
        assert other == dim
        assert hash(other) == hash(dim)


@given(expressions, expressions, expressions)
def test_sums_and_products_are_canonical(x: Expression, y: Expression, z: Expression) -> None:
    a, b, c = build(x), build(y), build(z)
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert (a + b) * c == a * c + b * c
    assert hash((a + b) * c) == hash(a * c + b * c)
    assert a - a == 0
    assert a + b - b == a


@given(expressions, divisors)
def test_a_multiple_divides_exactly(x: Expression, y: Expression) -> None:
    size, divisor = build(x), build(y)
    assume(divisor != 0)
    assert divide_exactly(size * divisor, divisor) == size
    assert size * divisor // divisor == size
    assert size * divisor % divisor == 0


@given(expressions, sizes)
def test_substitution_in_two_steps_is_substitution_in_one(expression: Expression, values: dict[str, int]) -> None:
    dim = build(expression)
    try:
        whole = substitute(dim, values)
        steps = substitute(substitute(dim, {"a": values["a"]}), values)
    except ShapeError:
        assume(False)
    assert steps == whole


@given(expressions)
def test_substituting_names_by_themselves_changes_nothing(expression: Expression) -> None:
    dim = build(expression)
    assert substitute(dim, {}) == dim


@given(st.text(alphabet="ab1 2+-*/%()_.:", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        dim = parse_dim(text)
    except ShapeError:
        return
    assert parse_dim(str(dim)) == dim


@pytest.mark.parametrize(
    ("dim", "equal"),
    [
        (8 * 12 * BATCH // 96, BATCH),
        (BATCH * 0, 0),
        (BATCH - BATCH, 0),
        (A * B // B, A),
        (A % A, 0),
        (A % 1, 0),
        (6 * A // 4, A + A // 2),
        ((A - 1) // 2 + 1, (A + 1) // 2),
        (-(-A // 2), (A + 1) // 2),
        (-(-A // 3), (A + 2) // 3),
        (-(-A // B), (A + B - 1) // B),
        (-(A // -2), (A + 1) // 2),
        (A // 2 // 3, A // 6),
        (A // B // C, A // (B * C)),
        (((A + 1) // 2 + 1) // 2, (A + 3) // 4),
        ((4 * A + 3) // 8, A // 2),
        ((A * B + B * 2) // (A + 2), B),
        ((A + B) * 3 // (A + B), 3),
        ((A * C) // (B * C), A // B),
        (2 * (A // 2) + A % 2, A),
    ],
    ids=str,
)
def test_equal_sizes_are_equal_objects(dim: Dim, equal: Dim) -> None:
    assert dim == equal
    assert hash(dim) == hash(equal)
    assert type(dim) is type(equal)


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (BATCH, "batch"),
        (2 * BATCH, "2*batch"),
        (A * B + 3, "a*b + 3"),
        (3 - A, "-a + 3"),
        (B - 2 * A - 1, "-2*a + b - 1"),
        (A * A * -1, "-a*a"),
        ((A + 1) // 2, "(a + 1)//2"),
        (A // 2, "a//2"),
        (2 * (A // 3), "2*(a//3)"),
        (2 * A // 3, "2*a//3"),
        ((A // B + C) // 2, "(c + a//b)//2"),
        (A // B // (C + 1), "(a//b)//(c + 1)"),
        (A // (2 * B), "a//(2*b)"),
        (A // (B + 1), "a//(b + 1)"),
        (5 // A, "5//a"),
        ((A - B) // 2, "(a - b)//2"),
        (A % 2, "a - 2*(a//2)"),
        ((A + 1) // 2 + B, "b + (a + 1)//2"),
        (symbol("encoder/x.1:0") + 1, "encoder/x.1:0 + 1"),
    ],
    ids=str,
)
def test_text_is_readable(dim: Dim, text: str) -> None:
    assert str(dim) == text
    assert repr(dim) == f"Sym({text})"
    assert parse_dim(text) == dim


@pytest.mark.parametrize("integer", [np.int64(3), np.int32(3), np.uint8(3), np.array(3)])
def test_numpy_integers_are_integers(integer: int) -> None:
    for operation in OPERATORS.values():
        assert operation(A, integer) == operation(A, 3)
        assert operation(integer, A) == operation(3, A)
        assert isinstance(operation(integer, A), Sym)
    assert type(integer * A - A * 3) is int
    assert product([2, integer]) == 6


@pytest.mark.parametrize("other", [1.5, "a", None])
def test_other_values_are_no_sizes(other: object) -> None:
    for operation in (*OPERATORS.values(), operator.lt):
        with pytest.raises(TypeError):
            operation(A, other)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            operation(other, A)  # type: ignore[arg-type]
    assert not operator.eq(A, other)


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (lambda: BATCH < 3, r"cannot decide batch < 3: 'batch' is unknown here; give a concrete size \(--input-shapes"),
        (lambda: BATCH <= A, "cannot decide batch <= a: 'a', 'batch' are unknown"),
        (lambda: operator.lt(3, BATCH), "cannot decide batch > 3"),
        (lambda: (A // 2) >= 3, "cannot decide a//2 >= 3: 'a' is"),
        (lambda: bool(BATCH), "cannot decide whether batch is true: 'batch' is unknown"),
    ],
)
def test_questions_about_the_value_name_the_dimension(compare: Callable[[], bool], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        compare()


@pytest.mark.parametrize("divide", [lambda: A // 0, lambda: A % 0, lambda: A // (B - B)])
def test_division_by_zero_is_refused(divide: Callable[[], Dim]) -> None:
    with pytest.raises(ShapeError, match="by 0"):
        divide()


def test_a_divisor_that_becomes_zero_is_refused() -> None:
    with pytest.raises(ShapeError, match="cannot divide the size 5 by 0"):
        substitute(A // (B - 2), {"a": 5, "b": 2})


def test_name_is_of_bare_symbols_only() -> None:
    assert BATCH.name == "batch"
    assert [dim.name for dim in (BATCH + 1, 2 * BATCH, BATCH * BATCH, BATCH // 2) if isinstance(dim, Sym)] == [None] * 4


def test_names_include_those_inside_divisions() -> None:
    dim = (A + 1) // (B + C // 2) * BATCH
    assert isinstance(dim, Sym)
    assert dim.names() == {"a", "b", "c", "batch"}


def test_sizes_are_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        A.terms = ()
    division = (A // 2).terms[0][0][0]  # type: ignore[union-attr]
    with pytest.raises(AttributeError, match="immutable"):
        division.text = ""  # type: ignore[union-attr]


def test_product() -> None:
    assert product([]) == 1
    assert product([2, BATCH, 3]) == 6 * BATCH
    assert product([BATCH, 0]) == 0


@pytest.mark.parametrize(
    ("a", "b", "quotient"),
    [
        (12, 4, 3),
        (12, 5, None),
        (12, 0, None),
        (0, A, 0),
        (A, 0, None),
        (6 * A, 3, 2 * A),
        (6 * A, 4, None),
        (A, 2, None),
        (2, A, None),
        (A * B, A, B),
        (A * A - B * B, A + B, A - B),
        (A * A + 1, A + 1, None),
        (A // 2 * 6, A // 2, 6),
    ],
)
def test_divide_exactly(a: Dim, b: Dim, quotient: Dim | None) -> None:
    assert divide_exactly(a, b) == quotient


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (minimum(3, 5), "3"),
        (minimum(B, A), "min(a, b)"),
        (minimum(A + 2, A), "a"),
        (maximum(A + 2, A), "a + 2"),
        (maximum(A, B), "a + b - min(a, b)"),
        ((A - minimum(A, B)) // 2, "(a - min(a, b))//2"),
        ((A // 2 - minimum(A // 2, B)) // 2, "(a//2 - min(a//2, b))//2"),
        (A // minimum(A, minimum(B, C) // 2), "a//(min(a, min(b, c)//2))"),
        (2 * minimum(A, B) * minimum(A, C), "2*min(a, b)*min(a, c)"),
        (minimum(symbol("min"), A) + symbol("min"), "min + min(a, min)"),
    ],
)
def test_the_smaller_and_the_larger(dim: Dim, text: str) -> None:
    assert str(dim) == text
    assert parse_dim(text) == dim


def test_the_commas_of_a_size_are_none_of_its_type() -> None:
    text = "f32[batch, min((b + min(a, c))//2, a), 3]"
    assert str(parse_type(text)) == text


def test_is_known() -> None:
    assert is_known(3)
    assert not is_known(A)


def test_bind_dim_records_and_checks() -> None:
    bindings: dict[str, int] = {}
    bind_dim(A + B, 7, bindings)
    assert bindings == {}
    bind_dim(A, 3, bindings)
    bind_dim(B, 0, bindings)
    bind_dim(A, 3, bindings)
    bind_dim(2 * A + B, 6, bindings)
    bind_dim(5, 5, bindings)
    assert bindings == {"a": 3, "b": 0}


@pytest.mark.parametrize(
    ("dim", "size", "message"),
    [
        (5, 4, "expected size 5, received 4"),
        (A, 4, r"expected size 3 for dimension a \(with a = 3 from other axes\), received 4"),
        (2 * A, 7, r"expected size 6 for dimension 2\*a .*received 7"),
        (B, -1, "received size -1 for a dimension declared as b"),
    ],
)
def test_bind_dim_says_expected_and_received(dim: Dim, size: int, message: str) -> None:
    bindings = {"a": 3}
    with pytest.raises(ShapeError, match=message):
        bind_dim(dim, size, bindings)
    assert bindings == {"a": 3}


@pytest.mark.parametrize(
    ("text", "dim"),
    [
        ("12", 12),
        ("-3", -3),
        (" batch ", BATCH),
        ("past + 1", symbol("past") + 1),
        ("-a//2", -A // 2),
        ("2*(a+1)%3", 2 * (A + 1) % 3),
        ("--a", A),
        ("7//2*a", 3 * A),
    ],
)
def test_parse_dim(text: str, dim: Dim) -> None:
    assert parse_dim(text) == dim


@pytest.mark.parametrize(
    "text",
    [
        "", "a b", "2a", "a +", "(a", "a)", "a/2", "a**2", "a ! b", "a//0", "__import__('os')", "()", "9" * 10_000,
        "(" * 100_000, "a" * 2_000_000, "*".join("a" * 10_000),
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(ShapeError):
        parse_dim(text)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a-b", "a//b", "a/", "(a)"])
def test_names_that_would_not_read_back_are_refused(name: str) -> None:
    with pytest.raises(ShapeError, match="as the name of a size; expected letters"):
        symbol(name)


def test_a_long_chain_of_pooling_stays_one_division() -> None:
    size: Dim = BATCH
    for _ in range(40):
        size = (size - 3) // 2 + 1
    assert str(size).count("//") == 1
    assert substitute(size, {"batch": 2**40}) == 0


def test_divisions_that_cannot_merge_are_limited() -> None:
    size: Dim = A
    for _ in range(MAX_NESTING):
        size = A // (B + size)
    with pytest.raises(ShapeError, match=r"nests 21 divisions or minima of unknown sizes.*give a concrete size"):
        A // (B + size)


def test_the_deepest_size_prints_and_reads_back() -> None:
    size: Dim = A
    for _ in range(MAX_NESTING):
        size = A // (B + size)
    assert parse_dim(str(size)) == size
    assert pickle.loads(pickle.dumps(size)) == size
    assert isinstance(substitute(size, {"a": 5, "b": 1}), int)


def test_doubling_sizes_are_limited() -> None:
    def double(size: Dim, times: int) -> Dim:
        for _ in range(times):
            size = size // (B + 1) + size // (B + 2)
        return size

    assert isinstance(double(A, 5), Sym)
    with pytest.raises(ShapeError, match="give a concrete size"):
        double(A, MAX_NESTING - 1)
