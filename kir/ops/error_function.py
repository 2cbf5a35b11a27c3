"""The Gauss error function, which NumPy does not have.

The rational approximations of W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of
Computation 23 (1969), with the coefficients of his CALERF in SPECFUN. Their relative errors are below the rounding of
float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kir.ir.op import Array

# Quotients of two polynomials: the coefficients of both, from the highest power down.
# erf(x) / x, in x²
_NEAR = (
    (1.85777706184603153e-1, 1.0),
    (3.16112374387056560e0, 2.36012909523441209e1),
    (1.13864154151050156e2, 2.44024637934444173e2),
    (3.77485237685302021e2, 1.28261652607737228e3),
    (3.20937758913846947e3, 2.84423683343917062e3),
)
# erfc(x) * exp(x²), in x
_MIDDLE = (
    (2.15311535474403846e-8, 1.0),
    (5.64188496988670089e-1, 1.57449261107098347e1),
    (8.88314979438837594e0, 1.17693950891312499e2),
    (6.61191906371416295e1, 5.37181101862009858e2),
    (2.98635138197400131e2, 1.62138957456669019e3),
    (8.81952221241769090e2, 3.29079923573345963e3),
    (1.71204761263407058e3, 4.36261909014324716e3),
    (2.05107837782607147e3, 3.43936767414372164e3),
    (1.23033935479799725e3, 1.23033935480374942e3),
)
# (1 / sqrt(pi) - erfc(x) * exp(x²) * x) * x², in 1 / x²
_FAR = (
    (1.63153871373020978e-2, 1.0),
    (3.05326634961232344e-1, 2.56852019228982242e0),
    (3.60344899949804439e-1, 1.87295284992346725e0),
    (1.25781726111229246e-1, 5.27905102951428412e-1),
    (1.60837851487422766e-2, 6.05183413124413191e-2),
    (6.58749161529837803e-4, 2.33520497626869185e-3),
)
_NEAR_END = 0.46875
_MIDDLE_END = 4.0
_PART_ELEMENTS = 1 << 13
_ONE_FROM = 6.0  # erfc(6) is 2e-17, below half the spacing of float64 at 1


def erf(x: Array) -> Array:
    """Return the Gauss error function of a float32 or float64 array, in its dtype.

    It is computed in float64, since the formulas lose 2 bits, with a relative error below 1e-15; and a part at a time,
    so that the many intermediate results stay in the cache.
    """
    if x.size <= _PART_ELEMENTS:
        return _erf_part(x)
    elements = x.reshape(-1)
    result = np.empty_like(elements)
    for start in range(0, x.size, _PART_ELEMENTS):
        part = slice(start, start + _PART_ELEMENTS)
        result[part] = _erf_part(elements[part])
    return result.reshape(x.shape)


def _erf_part(x: Array) -> Array:
    size = np.array(np.minimum(np.abs(x), _ONE_FROM), dtype=np.float64)
    near, far = size <= _NEAR_END, size > _MIDDLE_END
    middle = (size > _NEAR_END) & ~far
    result = size.copy()  # an element in no range is nan, and stays
    x_near, x_middle, x_far = size[near], size[middle], size[far]
    square = 1 / (x_far * x_far)
    tail = 1 / math.sqrt(math.pi) - square * _rational(_FAR, square)
    result[near] = x_near * _rational(_NEAR, x_near * x_near)
    result[middle] = 1 - np.exp(-x_middle * x_middle) * _rational(_MIDDLE, x_middle)
    result[far] = 1 - np.exp(-x_far * x_far) / x_far * tail
    return np.copysign(result, x).astype(x.dtype, copy=False)


def _rational(coefficients: Sequence[tuple[float, float]], x: Array) -> Array:
    """Return the quotient of two polynomials of one degree, which are evaluated side by side."""
    first, *others = np.array(coefficients)[..., None]
    values = np.empty((2, len(x)))
    values[...] = first
    for pair in others:
        values *= x
        values += pair
    return np.asarray(values[0] / values[1])
