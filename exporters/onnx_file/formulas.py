"""Elementwise operators as formulas of other ONNX operators, and which of them float64 needs.

onnxruntime has float64 kernels for arithmetic, comparisons, Exp, Log, Sqrt, Sin, Cos, Tanh and Sigmoid, and none for
the operators of `FLOAT64_FORMULAS`; for Shrink it has one, but ONNX's attributes are float32. Unless a formula says
otherwise, its error is a few units in the last place of the result, or of x where the operator's own definition cancels
(HardSwish near -3, Gelu far below 0).

RNN, GRU and LSTM have no float64 kernels either, and are written as they are, for other runtimes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from kir.exporters.onnx_file.expression import Expression
from kir.ir.op import Op
from kir.ir.types import DType
from kir.ops import elementwise as ops

# Exponentials and logarithms


def expm1(x: Expression) -> Expression:
    """Return ``exp(x) - 1`` without the cancellation near 0: tanh(x / 2) is (exp(x) - 1) / (exp(x) + 1)."""
    return (x * 0.5).apply("Tanh") * (x.apply("Exp") + 1)


def log1p(x: Expression) -> Expression:
    """Return ``log(1 + x)`` of x ≥ 0, plus what 1 + x loses by rounding, as far as it matters (x up to 1)."""
    small = x.apply("Min", 1)
    rounded = small + 1
    return (x + 1).apply("Log") + (small - (rounded - 1)) / rounded


def elu(x: Expression, alpha: float) -> Expression:
    return (x > 0).where(x, expm1(x) * alpha)


def celu(x: Expression, alpha: float) -> Expression:
    return (x > 0).where(x, expm1(x / alpha) * alpha)


def softplus(x: Expression) -> Expression:
    return x.apply("Max", 0) + log1p((-abs(x)).apply("Exp"))


# Hyperbolic functions


def cosh(x: Expression) -> Expression:
    """Return cosh(x). From |x| = 709.8 on it is inf, though 710.4 still has a finite cosh."""
    power = x.apply("Exp")
    return (power + power.apply("Reciprocal")) * 0.5


def asinh(x: Expression) -> Expression:
    """Return log1p(a + a² / (1 + sqrt(1 + a²))) of a = |x|, so that a² neither overflows nor loses a small a."""
    size = abs(x)
    inverse = size.apply("Reciprocal")
    return x.apply("Sign") * log1p(size + size / (inverse + (inverse * inverse + 1).apply("Sqrt")))


def acosh(x: Expression) -> Expression:
    above = x - 1
    return log1p(above + above.apply("Sqrt") * (x + 1).apply("Sqrt"))


def atanh(x: Expression) -> Expression:
    size = abs(x)
    return x.apply("Sign") * log1p((size + size) / (1 - size)) * 0.5


# Trigonometric functions

# Its arc tangent rounds to π/2, and products with it do not overflow.
ALMOST_INFINITE = 1e300


def tan(x: Expression) -> Expression:
    """Return tan(x), as accurate as onnxruntime's Sin and Cos, whose error near their zeros is absolute."""
    return x.apply("Sin") / x.apply("Cos")


def atan(x: Expression) -> Expression:
    """Return the float32 result y and a correction of its error e = atan(x) - y: tan(e) = (x - tan y) / (1 + x tan y).

    tan(e) differs from e, which is around 1e-7, by e³ / 3 only.
    """
    x = x.apply("Clip", -ALMOST_INFINITE, ALMOST_INFINITE)
    near = x.cast(DType.FLOAT32).apply("Atan").cast(x.dtype)
    sine, cosine = near.apply("Sin"), near.apply("Cos")
    return near + (x * cosine - sine) / (cosine + x * sine)


def asin(x: Expression) -> Expression:
    return atan(x / ((x + 1) * (1 - x)).apply("Sqrt"))


def acos(x: Expression) -> Expression:
    return atan(((1 - x) / (x + 1)).apply("Sqrt")) * 2


# The error function

# The 40 points of Gauss-Legendre quadrature on [-1, 1] with their weights, times 2 / sqrt(π); the positive half, as the
# integrand is even. So many that the error is below float64's rounding up to ONE_FROM; as literals, so that the same
# model gives the same bytes wherever it is exported.
_ERF_POINTS = """
0.03877241750605082 0.11608407067525521 0.1926975807013711 0.2681521850072537 0.3419940908257585
0.413779204371605 0.4830758016861787 0.5494671250951282 0.6125538896679802 0.6719566846141796 0.7273182551899271
0.7783056514265194 0.8246122308333117 0.8659595032122595 0.9020988069688743 0.9328128082786765
0.9579168192137917 0.9772599499837743 0.990726238699457 0.9982377097105593
"""
ERF_POINTS = tuple(map(float, _ERF_POINTS.split()))
_ERF_WEIGHTS = """
0.08745609702484311 0.08693012585336386 0.08588134676876667 0.08431606726436741 0.08224370113621583
0.0796767118706222 0.07663053769274593 0.07312349872860587 0.06917668684192668 0.06481383881453
0.060061193646022026 0.054947334860306105 0.04950301883827371 0.043760990397193 0.03775578728377454
0.03152353666726033 0.02510175278504649 0.018529180179804008 0.011846045555193916 0.005101714886650898
"""
ERF_WEIGHTS = tuple(map(float, _ERF_WEIGHTS.split()))
ONE_FROM = 6.0  # 1 - erf(6) is 2e-17, below half the spacing of float64 at 1


def erf(x: Expression) -> Expression:
    """Return 2 / sqrt(π) times the integral of exp(-t²) from 0 to x: a weighted sum over t = x s, s in (0, 1).

    While it runs it takes 20 times the memory of x, twice.
    """
    points = replace(x, name=x.emitter.node("Unsqueeze", [x.name, x.emitter.constant([-1], "axes")])) * ERF_POINTS
    integral = x * (-(points * points)).apply("Exp").apply("MatMul", ERF_WEIGHTS)
    return (abs(x) >= ONE_FROM).where(x.apply("Sign"), integral)


# Activations


def hard_sigmoid(x: Expression, alpha: float, beta: float) -> Expression:
    return (x * alpha + beta).apply("Clip", 0, 1)


def leaky_relu(x: Expression, slope: Expression | float) -> Expression:
    return (x >= 0).where(x, x * slope)


def shrink(x: Expression, bias: float, lambd: float) -> Expression:
    return (x > lambd).where(x - bias, (-x > lambd).where(x + bias, 0))


def gelu_tanh(x: Expression) -> Expression:
    cube = x * x * x
    return x * 0.5 * (((x + cube * 0.044715) * math.sqrt(2 / math.pi)).apply("Tanh") + 1)


def gelu(x: Expression, erf: Callable[[Expression], Expression]) -> Expression:
    return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1)


Formula = Callable[..., Expression]

# Called with the operator and its inputs.
FLOAT64_FORMULAS: dict[type[Op], Formula] = {
    ops.Acos: lambda op, x: acos(x),
    ops.Acosh: lambda op, x: acosh(x),
    ops.Asin: lambda op, x: asin(x),
    ops.Asinh: lambda op, x: asinh(x),
    ops.Atan: lambda op, x: atan(x),
    ops.Atanh: lambda op, x: atanh(x),
    ops.Cosh: lambda op, x: cosh(x),
    ops.Elu: lambda op, x: elu(x, op.alpha),
    ops.Erf: lambda op, x: erf(x),
    ops.Gelu: lambda op, x: gelu_tanh(x) if op.approximate else gelu(x, erf),
    ops.HardSigmoid: lambda op, x: hard_sigmoid(x, op.alpha, op.beta),
    ops.HardSwish: lambda op, x: x * hard_sigmoid(x, 1 / 6, 0.5),
    ops.LeakyRelu: lambda op, x: leaky_relu(x, op.alpha),
    ops.Mish: lambda op, x: x * softplus(x).apply("Tanh"),
    ops.PRelu: lambda op, x, slope: leaky_relu(x, slope),
    ops.Selu: lambda op, x: elu(x, ops.SELU_ALPHA) * ops.SELU_SCALE,
    ops.Sinh: lambda op, x: x.apply("Tanh") * cosh(x),
    ops.Softplus: lambda op, x: softplus(x),
    ops.Shrink: lambda op, x: shrink(x, op.bias, op.lambd),
    ops.Softsign: lambda op, x: x / (abs(x) + 1),
    ops.Tan: lambda op, x: tan(x),
    ops.ThresholdedRelu: lambda op, x: (x > op.alpha).where(x, 0),
}
