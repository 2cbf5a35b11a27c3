"""Sums of products with integer coefficients: the algebra of `kir.ir.dims`.

A sum is a tuple of terms, each a product (its factors sorted, ``()`` for the constant) and a coefficient other than 0.
Products of more factors come first and the constant last, so that equal sums are equal tuples: ``2*a*b + a - 3`` is
``((("a", "b"), 2), (("a",), 1), ((), -3))``.

Factors are opaque: nothing here looks into one, but to compare it with another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import gcd
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from kir.ir.dims import Atom

Monomial: TypeAlias = "tuple[Atom, ...]"
Terms: TypeAlias = "tuple[tuple[Monomial, int], ...]"
Coefficients: TypeAlias = "dict[Monomial, int]"


def order_of(monomial: Monomial) -> tuple[int, Monomial]:
    """Return the sort key of a product: of more factors first.

    Multiplying keeps this order (m < n implies m*k < n*k), which polynomial division needs.
    """
    return -len(monomial), monomial


def times(a: Monomial, b: Monomial) -> Monomial:
    """Return the product of two products."""
    return tuple(sorted(a + b))


def without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    """Return a product divided by another one; None if it is no multiple of that."""
    rest = list(monomial)
    for factor in factors:
        if factor not in rest:
            return None
        rest.remove(factor)
    return tuple(rest)


def accumulate(coefficients: Coefficients, monomial: Monomial, coefficient: int) -> None:
    """Add one term to a sum under construction."""
    total = coefficients.get(monomial, 0) + coefficient
    if total:
        coefficients[monomial] = total
    else:
        coefficients.pop(monomial, None)


def from_coefficients(coefficients: Mapping[Monomial, int]) -> Terms:
    """Return the sum with these coefficients, none of which is 0."""
    return tuple((monomial, coefficients[monomial]) for monomial in sorted(coefficients, key=order_of))


def add(*sums: Terms) -> Terms:
    """Return the sum of sums."""
    coefficients: Coefficients = {}
    for terms in sums:
        for monomial, coefficient in terms:
            accumulate(coefficients, monomial, coefficient)
    return from_coefficients(coefficients)


def multiply(a: Terms, b: Terms) -> Terms:
    """Return the product of two sums."""
    coefficients: Coefficients = {}
    for monomial, coefficient in a:
        for other, factor in b:
            accumulate(coefficients, times(monomial, other), coefficient * factor)
    return from_coefficients(coefficients)


def divide_exactly(dividend: Terms, divisor: Terms, most: int) -> Terms | None:
    """Return the quotient of polynomial division; None if a remainder is left, or it has more than `most` terms."""
    lead_monomial, lead_coefficient = divisor[0]
    remainder = dict(dividend)
    quotient: Coefficients = {}
    while remainder:
        # Cancel the leading term; products of more factors come first, so each round leaves only later ones.
        leading = min(remainder, key=order_of)
        monomial = without(leading, lead_monomial)
        coefficient, left = divmod(remainder[leading], lead_coefficient)
        if monomial is None or left or len(quotient) > most:
            return None
        quotient[monomial] = coefficient
        for divisor_monomial, divisor_coefficient in divisor:
            accumulate(remainder, times(monomial, divisor_monomial), -coefficient * divisor_coefficient)
    return from_coefficients(quotient)


def split(dividend: Terms, divisor: Terms) -> tuple[Terms, Terms]:
    """Return the quotient and the remainder of a division by one term, term by term.

    Coefficients keep their sign in the remainder, so that ``(a - b) // 2`` stays as it is; the constant becomes
    non-negative, so that ``(a - 1) // 2 + 1`` is ``(a + 1) // 2``.
    """
    ((factors, number),) = divisor
    quotient: Coefficients = {}
    remainder: Coefficients = {}
    for monomial, coefficient in dividend:
        rest = without(monomial, factors)
        if rest is None:
            accumulate(remainder, monomial, coefficient)
            continue
        count = -(-coefficient // number) if coefficient < 0 and monomial else coefficient // number
        accumulate(quotient, rest, count)
        accumulate(remainder, monomial, coefficient - count * number)
    return from_coefficients(quotient), from_coefficients(remainder)


def reduce_fraction(numerator: Terms, denominator: Terms, floor_constant: bool) -> tuple[Terms, Terms]:
    """Return a numerator and a denominator divided by their common factor.

    A constant beside other terms of the numerator limits that factor, so that ``(2*a + 1) / 4`` stays; or it is rounded
    down to a multiple, if `floor_constant`, and that is ``a / 2``.
    """
    terms = numerator + denominator
    counted = [term for term in numerator if term[0]] if floor_constant and numerator[0][0] else numerator
    factor = gcd(*(coefficient for _, coefficient in (*counted, *denominator)))
    shared = Counter(terms[0][0])
    for monomial, _ in terms:
        shared &= Counter(monomial)
    factors = tuple(sorted(shared.elements()))
    return _shrink(numerator, factor, factors), _shrink(denominator, factor, factors)


def _shrink(terms: Terms, factor: int, factors: Monomial) -> Terms:
    coefficients: Coefficients = {}
    for monomial, coefficient in terms:
        accumulate(coefficients, without(monomial, factors) or (), coefficient // factor)
    return from_coefficients(coefficients)
