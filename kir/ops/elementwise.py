"""Operators that compute each element of the result from the elements at the same place of their inputs.

Members of a group share its base class, which holds the type rule and how precision is kept; each adds `compute`.
Those without attributes inherit the dataclass of their base.

`compute` may produce inf and nan as IEEE 754 says; NumPy's warnings about that are silenced around it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, INTEGERS, SIGNED_INTEGERS, DType, TensorType, broadcast_shapes, format_shape

NUMBERS = FLOATS | INTEGERS
BOOLS = frozenset({DType.BOOL})

_HALF_PRECISION = frozenset({DType.FLOAT16.numpy, DType.BFLOAT16.numpy})


def widen(x: Array) -> Array:
    """A float16 or bfloat16 array as float32, to compute in and round once; any other array itself."""
    return x.astype(np.float32) if x.dtype in _HALF_PRECISION else x


def is_plain(*types: TensorType | None) -> bool:
    """Whether NumPy's own functions give, on arrays of these types, arrays of the dtype that they are to have.

    They would compute 16 bits in 16 bits, and of scalars they make numbers that are no arrays.
    """
    present = [type for type in types if type is not None]
    return all(type.dtype.numpy not in _HALF_PRECISION for type in present) and any(type.rank for type in present)


def require_dtype(op: Op, name: str, given: TensorType, accepted: frozenset[DType]) -> None:
    """Refuses an input whose dtype the operator does not take.

    Raises:
        ShapeError: the message names the input and lists the dtypes that are taken.
    """
    if given.dtype not in accepted:
        known = ", ".join(dtype.value for dtype in DType if dtype in accepted)
        raise ShapeError(f"{op} received {name} of type {given}; expected a dtype of {known}: cast it first")


def require_same_dtype(op: Op, **inputs: TensorType) -> None:
    """Refuses inputs of different dtypes.

    Raises:
        ShapeError: the message names all the inputs.
    """
    if len({given.dtype for given in inputs.values()}) > 1:
        listed = ", ".join(f"{name} of type {given}" for name, given in inputs.items())
        raise ShapeError(f"{op} received {listed}; expected one dtype: cast one of them first")


# One input, same shape


@dataclass(frozen=True)
class _Unary(Op):
    """One input `x`; the result has its type."""

    accepted: ClassVar[frozenset[DType]] = FLOATS

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, self.accepted)
        return x

    def eval(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.compute(widen(x))).astype(x.dtype, copy=False)

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        return self.compute if is_plain(*types) else self.eval

    @abstractmethod
    def compute(self, x: Array) -> Array:
        """The result for an array of 32 bits or more, in its dtype."""


class Abs(_Unary):
    """The absolute value. Of the lowest integer: itself. ONNX: Abs since opset 13."""

    accepted = NUMBERS

    def compute(self, x: Array) -> Array:
        return np.abs(x)


class Neg(_Unary):
    """``-x``. ONNX: Neg since opset 13."""

    accepted = FLOATS | SIGNED_INTEGERS

    def compute(self, x: Array) -> Array:
        return np.negative(x)


class Sign(_Unary):
    """-1, 0 or 1; nan of nan. ONNX: Sign since opset 13."""

    accepted = NUMBERS

    def compute(self, x: Array) -> Array:
        return np.sign(x)


class Sqrt(_Unary):
    """The square root; nan below 0. ONNX: Sqrt since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.sqrt(x)


class Exp(_Unary):
    """The exponential. ONNX: Exp since opset 13. Keras: `activations.exponential`."""

    def compute(self, x: Array) -> Array:
        return np.exp(x)


class Log(_Unary):
    """The natural logarithm; -inf of 0, nan below. ONNX: Log since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.log(x)


class Sin(_Unary):
    """The sine. ONNX: Sin since opset 7."""

    def compute(self, x: Array) -> Array:
        return np.sin(x)


class Cos(_Unary):
    """The cosine. ONNX: Cos since opset 7."""

    def compute(self, x: Array) -> Array:
        return np.cos(x)


class Tan(_Unary):
    """The tangent. ONNX: Tan since opset 7."""

    def compute(self, x: Array) -> Array:
        return np.tan(x)


class Asin(_Unary):
    """The inverse sine; nan outside [-1, 1]. ONNX: Asin since opset 7."""

    def compute(self, x: Array) -> Array:
        return np.arcsin(x)


class Acos(_Unary):
    """The inverse cosine; nan outside [-1, 1]. ONNX: Acos since opset 7."""

    def compute(self, x: Array) -> Array:
        return np.arccos(x)


class Atan(_Unary):
    """The inverse tangent. ONNX: Atan since opset 7."""

    def compute(self, x: Array) -> Array:
        return np.arctan(x)


class Sinh(_Unary):
    """The hyperbolic sine. ONNX: Sinh since opset 9."""

    def compute(self, x: Array) -> Array:
        return np.sinh(x)


class Cosh(_Unary):
    """The hyperbolic cosine. ONNX: Cosh since opset 9."""

    def compute(self, x: Array) -> Array:
        return np.cosh(x)


class Asinh(_Unary):
    """The inverse hyperbolic sine. ONNX: Asinh since opset 9."""

    def compute(self, x: Array) -> Array:
        return np.arcsinh(x)


class Acosh(_Unary):
    """The inverse hyperbolic cosine; nan below 1. ONNX: Acosh since opset 9."""

    def compute(self, x: Array) -> Array:
        return np.arccosh(x)


class Atanh(_Unary):
    """The inverse hyperbolic tangent; nan outside [-1, 1]. ONNX: Atanh since opset 9."""

    def compute(self, x: Array) -> Array:
        return np.arctanh(x)


class Erf(_Unary):
    """The Gauss error function. ONNX: Erf since opset 13."""

    def compute(self, x: Array) -> Array:
        return erf(x)


class Floor(_Unary):
    """The largest whole number not above. ONNX: Floor since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.floor(x)


class Ceil(_Unary):
    """The smallest whole number not below. ONNX: Ceil since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.ceil(x)


class Round(_Unary):
    """The nearest whole number; of two, the even one. ONNX: Round since opset 11."""

    def compute(self, x: Array) -> Array:
        return np.rint(x)


class Reciprocal(_Unary):
    """``1 / x``. ONNX: Reciprocal since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.reciprocal(x)


class Not(_Unary):
    """Logical negation. ONNX: Not since opset 1."""

    accepted = BOOLS

    def compute(self, x: Array) -> Array:
        return np.logical_not(x)


# One input, activations


class _Activation(_Unary):
    """A float function that layers use as an activation."""


class Tanh(_Activation):
    """The hyperbolic tangent. ONNX: Tanh since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.tanh(x)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``, accurate in both tails. ONNX: Sigmoid since opset 13."""

    def compute(self, x: Array) -> Array:
        one = _scalar(1, x.dtype)
        decay = np.exp(np.copysign(x, -one))
        # 1 from 0 on, below it the decay, which is no larger than 1.
        return np.maximum(decay, x >= 0) / (decay + one)


class Relu(_Activation):
    """``max(x, 0)``, for signed integers too. ONNX: Relu since opset 14."""

    accepted = FLOATS | SIGNED_INTEGERS

    def compute(self, x: Array) -> Array:
        return np.maximum(x, _scalar(0, x.dtype))


@cache
def _scalar(number: int, dtype: np.dtype[Any]) -> Array:
    """A number that NumPy need not convert, as it would one of Python on every call."""
    return np.array(number, dtype)


SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


class Selu(_Activation):
    """``scale * x`` above 0, ``scale * alpha * (exp(x) - 1)`` below, with the constants of Klambauer et al., 2017.

    ONNX: Selu since opset 6, whose default attributes are these constants in float32.
    """

    def compute(self, x: Array) -> Array:
        return SELU_SCALE * _elu(x, SELU_ALPHA)


class Softplus(_Activation):
    """``log(exp(x) + 1)``, without overflow. ONNX: Softplus since opset 1."""

    def compute(self, x: Array) -> Array:
        return np.logaddexp(x, x.dtype.type(0))


class Softsign(_Activation):
    """``x / (1 + |x|)``. ONNX: Softsign since opset 1."""

    def compute(self, x: Array) -> Array:
        return x / (1 + np.abs(x))


class HardSwish(_Activation):
    """``x * clip(x / 6 + 0.5, 0, 1)``. ONNX: HardSwish since opset 14. Keras: `activations.hard_silu`."""

    def compute(self, x: Array) -> Array:
        return x * np.clip(x / 6 + 0.5, 0, 1)


class Mish(_Activation):
    """``x * tanh(softplus(x))``. ONNX: Mish since opset 18. Source: Misra, 2019."""

    def compute(self, x: Array) -> Array:
        return x * np.tanh(np.logaddexp(x, x.dtype.type(0)))


@dataclass(frozen=True)
class LeakyRelu(_Activation):
    """`x` from 0 on, ``alpha * x`` below. ONNX: LeakyRelu since opset 6."""

    alpha: float

    def compute(self, x: Array) -> Array:
        return np.where(x >= 0, x, self.alpha * x)


@dataclass(frozen=True)
class Elu(_Activation):
    """`x` above 0, ``alpha * (exp(x) - 1)`` below. ONNX: Elu since opset 6."""

    alpha: float

    def compute(self, x: Array) -> Array:
        return _elu(x, self.alpha)


@dataclass(frozen=True)
class Celu(_Activation):
    """`x` above 0, ``alpha * (exp(x / alpha) - 1)`` below; `alpha` is not 0. ONNX: Celu since opset 12."""

    alpha: float

    def compute(self, x: Array) -> Array:
        return np.maximum(x, 0) + np.minimum(self.alpha * np.expm1(x / self.alpha), 0)


@dataclass(frozen=True)
class ThresholdedRelu(_Activation):
    """`x` above `alpha`, 0 elsewhere. ONNX: ThresholdedRelu since opset 10."""

    alpha: float

    def compute(self, x: Array) -> Array:
        return np.where(x > self.alpha, x, 0)


@dataclass(frozen=True)
class HardSigmoid(_Activation):
    """``clip(alpha * x + beta, 0, 1)``. ONNX: HardSigmoid since opset 6. Keras: alpha = 1/6, beta = 0.5."""

    alpha: float
    beta: float

    def compute(self, x: Array) -> Array:
        return np.clip(self.alpha * x + self.beta, 0, 1)


@dataclass(frozen=True)
class Gelu(_Activation):
    """``x * Φ(x)`` with Φ the normal distribution function, or its approximation by tanh.

    ONNX: Gelu since opset 20. Source: Hendrycks and Gimpel, 2016.
    """

    approximate: bool

    def compute(self, x: Array) -> Array:
        if self.approximate:
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@dataclass(frozen=True)
class Shrink(_Activation):
    """``x + bias`` below ``-lambd``, ``x - bias`` above `lambd`, 0 between. ONNX: Shrink since opset 9."""

    bias: float
    lambd: float

    def compute(self, x: Array) -> Array:
        return np.where(x < -self.lambd, x + self.bias, np.where(x > self.lambd, x - self.bias, 0))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


# One input, another dtype


class _Test(_Unary):
    """A question about each element of a float tensor, answered in booleans."""

    def infer(self, x: TensorType) -> TensorType:
        return super().infer(x).with_dtype(DType.BOOL)

    def eval(self, x: Array) -> Array:
        return np.asarray(self.compute(widen(x)))


class IsNaN(_Test):
    """Whether the element is nan. ONNX: IsNaN since opset 13."""

    def compute(self, x: Array) -> Array:
        return np.isnan(x)


class IsInf(_Test):
    """Whether the element is inf or -inf. ONNX: IsInf since opset 10."""

    def compute(self, x: Array) -> Array:
        return np.isinf(x)


@dataclass(frozen=True)
class Cast(_Unary):
    """The element as another dtype. Floats become integers by truncation, numbers booleans by being other than 0.

    A float that the integer dtype cannot hold has no defined result. ONNX: Cast since opset 13.
    """

    dtype: DType

    accepted = NUMBERS | BOOLS

    def infer(self, x: TensorType) -> TensorType:
        if self.dtype not in self.accepted:
            raise ShapeError(f"{self} was given for {x}; expected a number or bool to cast to")
        return super().infer(x).with_dtype(self.dtype)

    def eval(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return self.compute(x)

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        return self.compute

    def compute(self, x: Array) -> Array:
        return x.astype(self.dtype.numpy, copy=False)


# Two inputs that broadcast


@dataclass(frozen=True)
class _Binary(Op):
    """Two inputs of one dtype that broadcast; the result has that dtype."""

    accepted: ClassVar[frozenset[DType]] = NUMBERS

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require_same_dtype(self, a=a, b=b)
        require_dtype(self, "a", a, self.accepted)
        return a.with_shape(broadcast_shapes(a.shape, b.shape))

    def eval(self, a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.compute(widen(a), widen(b))).astype(a.dtype, copy=False)

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        return self.compute if is_plain(*types) else self.eval

    @abstractmethod
    def compute(self, a: Array, b: Array) -> Array:
        """The result for arrays of 32 bits or more, in their dtype."""


class Add(_Binary):
    """``a + b``; integers wrap around. ONNX: Add since opset 14."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.add(a, b)


class Sub(_Binary):
    """``a - b``; integers wrap around. ONNX: Sub since opset 14."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.subtract(a, b)


class Mul(_Binary):
    """``a * b``; integers wrap around. ONNX: Mul since opset 14."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.multiply(a, b)


class Div(_Binary):
    """``a / b``; integers are truncated towards 0, and by 0 they have no defined result. ONNX: Div since opset 14."""

    def compute(self, a: Array, b: Array) -> Array:
        if a.dtype.kind in "iu":
            return np.floor_divide(a - np.fmod(a, b), b)  # exact, so there is nothing to floor
        return np.divide(a, b)


class Pow(_Binary):
    """``a ** b``. Integers to a negative power are truncated towards 0; 0 to one has no defined result.

    ONNX: Pow since opset 15.
    """

    accepted = FLOATS | {DType.INT32, DType.INT64}

    def compute(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == "i":
            # The fraction 1 / a ** n is whole, and then a ** n itself, only for a = ±1.
            return np.where((b < 0) & (np.abs(a) != 1), 0, np.power(a, np.abs(b)))
        return np.power(a, b)


@dataclass(frozen=True)
class Mod(_Binary):
    """The remainder of ``a / b``: with `fmod` it has the sign of `a`, else that of `b`, and only for integers.

    Integers modulo 0 have no defined result. ONNX: Mod since opset 13.
    """

    fmod: bool

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if not self.fmod:
            require_dtype(self, "a", a, INTEGERS)
        return super().infer(a, b)

    def compute(self, a: Array, b: Array) -> Array:
        return np.fmod(a, b) if self.fmod else np.remainder(a, b)


class Maximum(_Binary):
    """The larger one; nan if one is nan. ONNX: Max since opset 13."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.maximum(a, b)


class Minimum(_Binary):
    """The smaller one; nan if one is nan. ONNX: Min since opset 13."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.minimum(a, b)


class _Logic(_Binary):
    """Two booleans to one."""

    accepted = BOOLS


class And(_Logic):
    """Logical and. ONNX: And since opset 7."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.logical_and(a, b)


class Or(_Logic):
    """Logical or. ONNX: Or since opset 7."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.logical_or(a, b)


class Xor(_Logic):
    """Logical exclusive or. ONNX: Xor since opset 7."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.logical_xor(a, b)


class _Comparison(_Binary):
    """A comparison of numbers, answered in booleans; false of nan."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        return super().infer(a, b).with_dtype(DType.BOOL)

    def eval(self, a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.compute(widen(a), widen(b)))


class Equal(_Comparison):
    """``a == b``, for booleans too. ONNX: Equal since opset 13."""

    accepted = NUMBERS | BOOLS

    def compute(self, a: Array, b: Array) -> Array:
        return np.equal(a, b)


class Less(_Comparison):
    """``a < b``. ONNX: Less since opset 13."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.less(a, b)


class LessOrEqual(_Comparison):
    """``a <= b``. ONNX: LessOrEqual since opset 16."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.less_equal(a, b)


class Greater(_Comparison):
    """``a > b``. ONNX: Greater since opset 13."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.greater(a, b)


class GreaterOrEqual(_Comparison):
    """``a >= b``. ONNX: GreaterOrEqual since opset 16."""

    def compute(self, a: Array, b: Array) -> Array:
        return np.greater_equal(a, b)


# More inputs


@dataclass(frozen=True)
class PRelu(Op):
    """`x` from 0 on, ``slope * x`` below; `slope` broadcasts to the shape of `x`. ONNX: PRelu since opset 16."""

    def infer(self, x: TensorType, slope: TensorType) -> TensorType:
        require_same_dtype(self, x=x, slope=slope)
        require_dtype(self, "x", x, FLOATS)
        if broadcast_shapes(x.shape, slope.shape) != x.shape:
            raise ShapeError(
                f"{self} received x of shape {format_shape(x.shape)} and slope of shape {format_shape(slope.shape)}; "
                f"expected a slope that broadcasts to the shape of x"
            )
        return x

    def eval(self, x: Array, slope: Array) -> Array:
        with np.errstate(all="ignore"):
            wide = widen(x)
            return np.where(wide >= 0, wide, wide * widen(slope)).astype(x.dtype, copy=False)


@dataclass(frozen=True)
class Where(Op):
    """`a` where the condition holds, else `b`; all three broadcast. ONNX: Where since opset 16."""

    def infer(self, condition: TensorType, a: TensorType, b: TensorType) -> TensorType:
        require_dtype(self, "condition", condition, BOOLS)
        require_same_dtype(self, a=a, b=b)
        return a.with_shape(broadcast_shapes(condition.shape, a.shape, b.shape))

    def eval(self, condition: Array, a: Array, b: Array) -> Array:
        return np.where(condition, a, b)

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        return np.where


@dataclass(frozen=True)
class Clip(Op):
    """`x`, but at least `minimum` and at most `maximum`, both scalars; if they contradict, the maximum holds.

    An absent bound does not bound: inf stays inf, where ONNX's default, the largest finite number, would replace it.
    ONNX: Clip since opset 13.
    """

    def infer(self, x: TensorType, minimum: TensorType | None = None, maximum: TensorType | None = None) -> TensorType:
        require_dtype(self, "x", x, NUMBERS)
        for name, bound in (("minimum", minimum), ("maximum", maximum)):
            if bound is not None and bound != TensorType(x.dtype, ()):
                raise ShapeError(f"{self} received {name} of type {bound}; expected a scalar {x.dtype}[]")
        return x

    def eval(self, x: Array, minimum: Array | None = None, maximum: Array | None = None) -> Array:
        result = widen(x)
        if minimum is not None:
            result = np.maximum(result, widen(minimum))
        if maximum is not None:
            result = np.minimum(result, widen(maximum))
        return np.asarray(result).astype(x.dtype, copy=False)


# Named sets


def _members(base: type[Op]) -> frozenset[type[Op]]:
    """The public classes below `base`, at any depth."""
    found: set[type[Op]] = set()
    pending = [base]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if not cls.__name__.startswith("_"):
            found.add(cls)
    return frozenset(found)


# One input `x`, and a result of its shape.
UNARY = _members(_Unary)
# Inputs `a` and `b` of one dtype that broadcast to the shape of the result.
BINARY = _members(_Binary)
# Those of BINARY that answer in booleans about numbers.
COMPARISONS = _members(_Comparison)
# Those of BINARY with f(a, b) = f(b, a), bit for bit.
COMMUTATIVE: frozenset[type[Op]] = frozenset({Add, Mul, Maximum, Minimum, And, Or, Xor, Equal})
# Each element of the result depends on one element of each input, after broadcasting.
ELEMENTWISE: frozenset[type[Op]] = UNARY | BINARY | {PRelu, Where, Clip}
# What a Dense may fuse: one float input, a result of its type.
ACTIVATIONS: frozenset[type[Op]] = _members(_Activation) | {Exp}


# The error function

# The rational approximations of W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics
# of Computation 23 (1969), with the coefficients of his CALERF in SPECFUN; from the highest power down. Their relative
# errors are below the rounding of float64.
_ERF_NEAR = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_ERFC_MIDDLE = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)
_ERFC_FAR = (
    (
        1.63153871373020978e-2,
        3.05326634961232344e-1,
        3.60344899949804439e-1,
        1.25781726111229246e-1,
        1.60837851487422766e-2,
        6.58749161529837803e-4,
    ),
    (
        1.0,
        2.56852019228982242e0,
        1.87295284992346725e0,
        5.27905102951428412e-1,
        6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)
_NEAR_END = 0.46875
_MIDDLE_END = 4.0
_ERF_ELEMENTS = 1 << 13
_ONE_FROM = 6.0  # erfc(6) is 2e-17, below half the spacing of float64 at 1


def erf(x: Array) -> Array:
    """The Gauss error function of a float32 or float64 array, in its dtype.

    It is computed in float64, with a relative error below 1e-15: the formulas lose 2 bits of whatever they are given;
    and a part at a time, whose many intermediate results stay in the cache.
    """
    if x.size <= _ERF_ELEMENTS:
        return _erf_part(x)
    elements = x.reshape(-1)
    result = np.empty_like(elements)
    for start in range(0, x.size, _ERF_ELEMENTS):
        part = slice(start, start + _ERF_ELEMENTS)
        result[part] = _erf_part(elements[part])
    return result.reshape(x.shape)


def _erf_part(x: Array) -> Array:
    size = np.array(np.minimum(np.abs(x), _ONE_FROM), dtype=np.float64)
    near, far = size <= _NEAR_END, size > _MIDDLE_END
    middle = (size > _NEAR_END) & ~far
    result = size.copy()  # what is in no range is nan and stays so
    result[near] = _erf_near(size[near])
    result[middle] = _erf_middle(size[middle])
    result[far] = _erf_far(size[far])
    return np.copysign(result, x).astype(x.dtype, copy=False)


def _erf_near(x: Array) -> Array:
    return x * _rational(_ERF_NEAR, x * x)


def _erf_middle(x: Array) -> Array:
    return 1 - np.exp(-x * x) * _rational(_ERFC_MIDDLE, x)


def _erf_far(x: Array) -> Array:
    square = 1 / (x * x)
    return 1 - np.exp(-x * x) / x * (1 / math.sqrt(math.pi) - square * _rational(_ERFC_FAR, square))


def _rational(coefficients: tuple[Sequence[float], Sequence[float]], x: Array) -> Array:
    """The quotient of two polynomials of one degree, whose values are computed side by side."""
    first, *others = np.array(coefficients).T[..., None]
    values = np.empty((2, len(x)))
    values[...] = first
    for pair in others:
        values *= x
        values += pair
    return values[0] / values[1]
