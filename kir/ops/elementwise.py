"""Operators that compute each element of the result from the elements at the same place of their inputs.

Members of a group share its base class, which holds the type rule; each adds `compute`, as `WideOp` says. Those
without attributes inherit the dataclass of their base.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, INTEGERS, SIGNED_INTEGERS, DType, TensorType, broadcast_shapes, format_shape
from kir.ops.error_function import erf
from kir.ops.precision import BOOLS, NUMBERS, WideOp, require_dtype, require_same_dtype

# One input, same shape


@dataclass(frozen=True)
class _Unary(WideOp):
    """One input `x`; the result has its type."""

    def infer(self, x: TensorType) -> TensorType:
        require_dtype(self, "x", x, self.accepted)
        return x


class Abs(_Unary, compute=np.abs, accepted=NUMBERS):
    """The absolute value. Of the lowest integer: itself. ONNX: Abs since opset 13."""


class Neg(_Unary, compute=np.negative, accepted=FLOATS | SIGNED_INTEGERS):
    """``-x``. ONNX: Neg since opset 13."""


class Sign(_Unary, compute=np.sign, accepted=NUMBERS):
    """-1, 0 or 1; nan of nan. ONNX: Sign since opset 13."""


class Sqrt(_Unary, compute=np.sqrt):
    """The square root; nan below 0. ONNX: Sqrt since opset 13."""


class Exp(_Unary, compute=np.exp):
    """The exponential. ONNX: Exp since opset 13. Keras: `activations.exponential`."""


class Log(_Unary, compute=np.log):
    """The natural logarithm; -inf of 0, nan below. ONNX: Log since opset 13."""


class Sin(_Unary, compute=np.sin):
    """The sine. ONNX: Sin since opset 7."""


class Cos(_Unary, compute=np.cos):
    """The cosine. ONNX: Cos since opset 7."""


class Tan(_Unary, compute=np.tan):
    """The tangent. ONNX: Tan since opset 7."""


class Asin(_Unary, compute=np.arcsin):
    """The inverse sine; nan outside [-1, 1]. ONNX: Asin since opset 7."""


class Acos(_Unary, compute=np.arccos):
    """The inverse cosine; nan outside [-1, 1]. ONNX: Acos since opset 7."""


class Atan(_Unary, compute=np.arctan):
    """The inverse tangent. ONNX: Atan since opset 7."""


class Sinh(_Unary, compute=np.sinh):
    """The hyperbolic sine. ONNX: Sinh since opset 9."""


class Cosh(_Unary, compute=np.cosh):
    """The hyperbolic cosine. ONNX: Cosh since opset 9."""


class Asinh(_Unary, compute=np.arcsinh):
    """The inverse hyperbolic sine. ONNX: Asinh since opset 9."""


class Acosh(_Unary, compute=np.arccosh):
    """The inverse hyperbolic cosine; nan below 1. ONNX: Acosh since opset 9."""


class Atanh(_Unary, compute=np.arctanh):
    """The inverse hyperbolic tangent; nan outside [-1, 1]. ONNX: Atanh since opset 9."""


class Erf(_Unary, compute=erf):
    """The Gauss error function. ONNX: Erf since opset 13."""


class Floor(_Unary, compute=np.floor):
    """The largest whole number not above. ONNX: Floor since opset 13."""


class Ceil(_Unary, compute=np.ceil):
    """The smallest whole number not below. ONNX: Ceil since opset 13."""


class Round(_Unary, compute=np.rint):
    """The nearest whole number; of two, the even one. ONNX: Round since opset 11."""


class Reciprocal(_Unary, compute=np.reciprocal):
    """``1 / x``. ONNX: Reciprocal since opset 13."""


class Not(_Unary, compute=np.logical_not, accepted=BOOLS):
    """Logical negation. ONNX: Not since opset 1."""


# One input, activations


class _Activation(_Unary):
    """A float function that layers use as an activation."""


class Tanh(_Activation, compute=np.tanh):
    """The hyperbolic tangent. ONNX: Tanh since opset 13."""


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``, accurate in both tails. ONNX: Sigmoid since opset 13."""

    def compute(self, x: Array) -> Array:
        one = _scalar(1, x.dtype)
        decay = np.exp(np.copysign(x, -one))
        # 1 from 0 on, below it the decay, which is no larger than 1.
        return np.asarray(np.maximum(decay, x >= 0) / (decay + one))


class Relu(_Activation, accepted=FLOATS | SIGNED_INTEGERS):
    """``max(x, 0)``, for signed integers too. ONNX: Relu since opset 14."""

    def compute(self, x: Array) -> Array:
        return np.maximum(x, _scalar(0, x.dtype))


@cache
def _scalar(number: int, dtype: np.dtype[Any]) -> Array:
    """Return a number as an array, which NumPy need not convert on every call as it would a number of Python."""
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
        return np.asarray(np.logaddexp(x, x.dtype.type(0)))


class Softsign(_Activation):
    """``x / (1 + |x|)``. ONNX: Softsign since opset 1."""

    def compute(self, x: Array) -> Array:
        return np.asarray(x / (1 + np.abs(x)))


class HardSwish(_Activation):
    """``x * clip(x / 6 + 0.5, 0, 1)``. ONNX: HardSwish since opset 14. Keras: `activations.hard_silu`."""

    def compute(self, x: Array) -> Array:
        return x * np.clip(x / 6 + 0.5, 0, 1)


class Mish(_Activation):
    """``x * tanh(softplus(x))``. ONNX: Mish since opset 18. Source: Misra, 2019."""

    def compute(self, x: Array) -> Array:
        return np.asarray(x * np.tanh(np.logaddexp(x, x.dtype.type(0))))


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
            return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))))
        return np.asarray(0.5 * x * (1 + erf(x * math.sqrt(0.5))))


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


class IsNaN(_Test, compute=np.isnan):
    """The test for nan. ONNX: IsNaN since opset 13."""


class IsInf(_Test, compute=np.isinf):
    """The test for inf and -inf. ONNX: IsInf since opset 10."""


@dataclass(frozen=True)
class Cast(_Unary, accepted=NUMBERS | BOOLS):
    """The element as another dtype. Floats become integers by truncation, numbers booleans by being other than 0.

    A float that the integer dtype cannot hold has no defined result. ONNX: Cast since opset 13.
    """

    dtype: DType

    def infer(self, x: TensorType) -> TensorType:
        if self.dtype not in self.accepted:
            raise ShapeError(f"{self} was given for {x}; expected a number or bool to cast to")
        return super().infer(x).with_dtype(self.dtype)

    def eval(self, x: Array, *others: Array | None) -> Array:
        with np.errstate(all="ignore"):
            return self.compute(x)

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        return self.compute

    def compute(self, x: Array) -> Array:
        return x.astype(self.dtype.numpy, copy=False)


# Two inputs that broadcast


@dataclass(frozen=True)
class _Binary(WideOp, accepted=NUMBERS):
    """Two inputs of one dtype that broadcast; the result has that dtype."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        require_same_dtype(self, a=a, b=b)
        require_dtype(self, "a", a, self.accepted)
        return a.with_shape(broadcast_shapes(a.shape, b.shape))


class Add(_Binary, compute=np.add):
    """``a + b``; integers wrap around. ONNX: Add since opset 14."""


class Sub(_Binary, compute=np.subtract):
    """``a - b``; integers wrap around. ONNX: Sub since opset 14."""


class Mul(_Binary, compute=np.multiply):
    """``a * b``; integers wrap around. ONNX: Mul since opset 14."""


class Div(_Binary):
    """``a / b``; integers are truncated towards 0, and by 0 they have no defined result. ONNX: Div since opset 14."""

    def compute(self, a: Array, b: Array) -> Array:
        if a.dtype.kind in "iu":
            return np.asarray((a - np.fmod(a, b)) // b)  # exact, so there is nothing to floor
        return np.divide(a, b)


class Pow(_Binary, accepted=FLOATS | {DType.INT32, DType.INT64}):
    """``a ** b``. Integers to a negative power are truncated towards 0; 0 to one has no defined result.

    ONNX: Pow since opset 15.
    """

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


class Maximum(_Binary, compute=np.maximum):
    """The larger one; nan if one is nan. ONNX: Max since opset 13."""


class Minimum(_Binary, compute=np.minimum):
    """The smaller one; nan if one is nan. ONNX: Min since opset 13."""


class _Logic(_Binary, accepted=BOOLS):
    """Two booleans to one."""


class And(_Logic, compute=np.logical_and):
    """Logical and. ONNX: And since opset 7."""


class Or(_Logic, compute=np.logical_or):
    """Logical or. ONNX: Or since opset 7."""


class Xor(_Logic, compute=np.logical_xor):
    """Logical exclusive or. ONNX: Xor since opset 7."""


class BitwiseXor(_Binary, accepted=INTEGERS, compute=np.bitwise_xor):
    """Exclusive or of the bits of integers. ONNX: BitwiseXor since opset 18."""


class _Comparison(_Binary):
    """A comparison of numbers, answered in booleans; false of nan."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        return super().infer(a, b).with_dtype(DType.BOOL)


class Equal(_Comparison, compute=np.equal, accepted=NUMBERS | BOOLS):
    """``a == b``, for booleans too. ONNX: Equal since opset 13."""


class Less(_Comparison, compute=np.less):
    """``a < b``. ONNX: Less since opset 13."""


class LessOrEqual(_Comparison, compute=np.less_equal):
    """``a <= b``. ONNX: LessOrEqual since opset 16."""


class Greater(_Comparison, compute=np.greater):
    """``a > b``. ONNX: Greater since opset 13."""


class GreaterOrEqual(_Comparison, compute=np.greater_equal):
    """``a >= b``. ONNX: GreaterOrEqual since opset 16."""


# More inputs


@dataclass(frozen=True)
class PRelu(WideOp):
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

    def compute(self, x: Array, slope: Array) -> Array:
        return np.where(x >= 0, x, x * slope)


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
class Clip(WideOp):
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

    def compute(self, x: Array, minimum: Array | None = None, maximum: Array | None = None) -> Array:
        result = x if minimum is None else np.maximum(x, minimum)
        return result if maximum is None else np.minimum(result, maximum)


# Named sets


def _members(base: type[Op]) -> frozenset[type[Op]]:
    """Return the operators below `base`: the classes that have no subclasses themselves."""
    below = base.__subclasses__()
    return frozenset[type[Op]]().union(*map(_members, below)) if below else frozenset({base})


# One input `x`, and a result of its shape.
UNARY = _members(_Unary)
# Inputs `a` and `b` of one dtype that broadcast to the shape of the result.
BINARY = _members(_Binary)
# Those of BINARY that answer in booleans about numbers.
COMPARISONS = _members(_Comparison)
# Those of BINARY with f(a, b) = f(b, a), bit for bit.
COMMUTATIVE: frozenset[type[Op]] = frozenset({Add, Mul, Maximum, Minimum, And, Or, Xor, BitwiseXor, Equal})
# Each element of the result depends on one element of each input, after broadcasting.
ELEMENTWISE: frozenset[type[Op]] = UNARY | BINARY | {PRelu, Where, Clip}
# Activations that a Dense may fuse: they have one float input, and a result of its type.
ACTIVATIONS: frozenset[type[Op]] = _members(_Activation) | {Exp}
