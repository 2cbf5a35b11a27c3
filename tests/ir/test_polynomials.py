"""The algebra of sums of products, on sums of random coefficients."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kir.ir.polynomials import Terms, add, divide_exactly, from_coefficients, multiply, reduce_fraction, split

MOST = 100

products: st.SearchStrategy[Any] = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(
    lambda factors: tuple(sorted(factors))
)
coefficients = st.integers(-20, 20).filter(bool)
sums = st.dictionaries(products, coefficients, max_size=4).map(from_coefficients)
terms = st.tuples(products, st.integers(1, 20)).map(lambda term: (term,))

VALUES = {"a": 7, "b": 11, "c": 13}


def evaluate(polynomial: Terms) -> int:
    return sum(factor * math.prod(VALUES[str(atom)] for atom in monomial) for monomial, factor in polynomial)


@given(a=sums, b=sums)
def test_sums_and_products_have_the_right_values(a: Terms, b: Terms) -> None:
    assert evaluate(add(a, b)) == evaluate(a) + evaluate(b)
    assert evaluate(multiply(a, b)) == evaluate(a) * evaluate(b)


@given(a=sums, b=sums.filter(bool))
def test_a_product_divided_by_a_factor_is_the_other_factor(a: Terms, b: Terms) -> None:
    assert divide_exactly(multiply(a, b), b, MOST) == a


def test_a_remainder_is_no_quotient() -> None:
    assert divide_exactly(((("a",), 1), ((), 1)), ((("a",), 1),), MOST) is None


@given(dividend=sums, divisor=terms)
def test_quotient_times_divisor_plus_remainder_is_the_dividend(dividend: Terms, divisor: Terms) -> None:
    quotient, remainder = split(dividend, divisor)
    assert add(multiply(quotient, divisor), remainder) == dividend


@given(a=sums.filter(bool), b=sums.filter(bool), factor=terms)
def test_a_reduced_fraction_is_equal(a: Terms, b: Terms, factor: Terms) -> None:
    top, bottom = multiply(a, factor), multiply(b, factor)
    small_top, small_bottom = reduce_fraction(top, bottom, floor_constant=False)
    assert multiply(small_top, bottom) == multiply(top, small_bottom)
    assert len(small_top) == len(top)
