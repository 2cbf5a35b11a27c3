"""Products: Dense, MatMul, Einsum. Floats of 16 bits are multiplied in float32 and rounded once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, DType, Shape, TensorType, agree_dim, broadcast_shapes
from kir.ops.elementwise import ACTIVATIONS
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.precision import WideOp, is_plain, require_dtype, require_same_dtype, widen

MULTIPLIED_DTYPES = FLOATS | {DType.INT32, DType.INT64, DType.UINT32, DType.UINT64}  # what ONNX's MatMul takes


@dataclass(frozen=True)
class Dense(Op):
    """``activation(x @ kernel + bias)``: x[..., in], kernel[in, units], bias[units] gives [..., units].

    `activation` is one of `ACTIVATIONS`, or a Softmax or LogSoftmax over the last axis. Fusing is exact: the result
    equals the activation applied to that of a Dense without one, bit for bit.

    ONNX: Gemm for rank 2, otherwise MatMul and Add, since opset 7; then the activation. Keras: `layers.Dense`.
    """

    activation: Op | None = None

    def infer(self, x: TensorType, kernel: TensorType, bias: TensorType | None = None) -> TensorType:
        if x.rank < 2 or kernel.rank != 2 or (bias is not None and bias.rank != 1):
            given = f"x {x}, kernel {kernel}" + (f", bias {bias}" if bias else "")
            raise ShapeError(f"Dense received {given}; expected x[..., in], kernel[in, units] and bias[units]")
        require_same_dtype(self, x=x, kernel=kernel, bias=bias)
        require_dtype(self, "x", x, FLOATS)
        agree_dim(x.shape[-1], kernel.shape[0], f"Dense of x {x} and kernel {kernel}, features")
        units = kernel.shape[1]
        if bias is not None:
            units = agree_dim(units, bias.shape[0], f"Dense of kernel {kernel} and bias {bias}, units")
        result = x.with_shape((*x.shape[:-1], units))
        self._check_activation(result)
        return result

    def eval(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            result = _affine(widen(x), widen(kernel), None if bias is None else widen(bias))
        result = result.astype(x.dtype, copy=False)
        return result if self.activation is None else self.activation.eval(result)

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        if not is_plain(*types):
            return self.eval
        if self.activation is None:
            return _affine
        activate = self.activation.prepare(types[0])
        return lambda *inputs: activate(_affine(*inputs))

    def _check_activation(self, type: TensorType) -> None:
        activation = self.activation
        if activation is None or activation.__class__ in ACTIVATIONS:
            return
        if not isinstance(activation, Softmax | LogSoftmax):
            known = ", ".join(sorted(cls.__name__ for cls in (*ACTIVATIONS, Softmax, LogSoftmax)))
            raise ShapeError(f"Dense cannot fuse the activation {activation}; expected one of {known}")
        if activation.axis != type.rank - 1:
            raise ShapeError(f"Dense cannot fuse {activation} into a result {type}; expected axis={type.rank - 1}")


def _affine(x: Array, kernel: Array, bias: Array | None = None) -> Array:
    # NumPy multiplies with BLAS only if there are two axes.
    rows = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    result: Array = np.dot(rows, kernel)
    if bias is not None:
        result += bias
    return result if x.ndim == 2 else result.reshape(*x.shape[:-1], kernel.shape[1])


@dataclass(frozen=True)
class MatMul(WideOp, compute=np.matmul):
    """The matrix product with NumPy's rules: ranks of 1 are promoted, leading axes broadcast.

    ONNX: MatMul since opset 13.
    """

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if a.rank == 0 or b.rank == 0:
            raise ShapeError(f"MatMul received {a} and {b}; expected ranks of 1 or more")
        require_same_dtype(self, a=a, b=b)
        require_dtype(self, "a", a, MULTIPLIED_DTYPES)
        agree_dim(a.shape[-1], b.shape[0 if b.rank == 1 else -2], f"MatMul of {a} and {b}, contracted axis")
        rows, columns = a.shape[-2:-1], b.shape[-1:] if b.rank > 1 else ()
        return a.with_shape((*broadcast_shapes(a.shape[:-2], b.shape[:-2]), *rows, *columns))

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        # Two vectors give a scalar.
        return super().prepare(*types) if all(type and type.rank > 1 for type in types) else self.eval


@dataclass(frozen=True)
class Einsum(WideOp):
    """Einstein's summation over named axes: ``Einsum("bij,bjk->bik")``. Letters, one ellipsis per term, blanks.

    Axes of one letter have equal sizes (a 1 does not broadcast); the axes of ellipses broadcast. Without an arrow the
    result has the ellipsis, then the letters that occur once, in alphabetical order.

    ONNX: Einsum since opset 12.
    """

    equation: str

    def infer(self, *operands: TensorType) -> TensorType:
        terms, output = parse_equation(self.equation)
        if len(terms) != len(operands):
            raise ShapeError(f"{self} received {len(operands)} operands; expected {len(terms)}")
        require_same_dtype(self, **{f"operand {index}": operand for index, operand in enumerate(operands)})
        require_dtype(self, "operand 0", operands[0], MULTIPLIED_DTYPES)
        sizes: dict[str, Dim] = {}
        stretched: Shape = ()
        for term, operand in zip(terms, operands, strict=True):
            stretched = broadcast_shapes(stretched, self._match(term, operand, sizes))
        shape: list[Dim] = []
        for letter in output:
            shape += stretched if letter == ELLIPSIS else [sizes[letter]]
        return operands[0].with_shape(shape)

    def compute(self, *operands: Array) -> Array:
        return np.asarray(np.einsum(self.equation, *operands, optimize=True))

    def _match(self, term: str, operand: TensorType, sizes: dict[str, Dim]) -> Shape:
        """Record the size of each letter in `sizes`; return the sizes under the ellipsis."""
        hidden = operand.rank - len(term.replace(ELLIPSIS, ""))
        if hidden < 0 or (hidden > 0 and ELLIPSIS not in term):
            shown = term.replace(ELLIPSIS, "...")
            raise ShapeError(f"{self} received an operand {operand} for the term {shown!r}; the ranks differ")
        before, _, after = term.partition(ELLIPSIS)
        front, back = operand.shape[: len(before)], operand.shape[len(before) + hidden :]
        for letter, size in zip(before + after, front + back, strict=True):
            sizes[letter] = agree_dim(sizes.get(letter, size), size, f"{self}, axis {letter!r}")
        return operand.shape[len(before) : len(before) + hidden]


ELLIPSIS = "*"  # stands for "..." inside a parsed term, so that every axis is one character


def parse_equation(equation: str) -> tuple[list[str], str]:
    """Return the terms of an Einsum equation and its output term, whether that is written or implied.

    An ellipsis is the one character `ELLIPSIS`.

    Raises:
        ShapeError: the text is not such an equation.
    """
    text = "".join(equation.split())
    left, arrow, right = text.replace("...", ELLIPSIS).partition("->")
    terms = left.split(",")
    if ELLIPSIS in text or not all(_is_term(term) for term in (*terms, right)):
        raise ShapeError(f"cannot read the equation {equation!r}; expected letters and '...', as in 'bij,bjk->bik'")
    counts = Counter(left)
    if not arrow:
        once = sorted(letter for letter, count in counts.items() if count == 1 and letter.isalpha())
        return terms, ELLIPSIS * (ELLIPSIS in left) + "".join(once)
    if len(set(right)) != len(right) or not set(right) <= set(left) or (ELLIPSIS in left and ELLIPSIS not in right):
        raise ShapeError(
            f"the output of the equation {equation!r} does not fit; expected each letter once, only letters of the "
            "operands, and '...' if an operand has it"
        )
    return terms, right


def _is_term(term: str) -> bool:
    return term.count(ELLIPSIS) <= 1 and all(c == ELLIPSIS or (c.isascii() and c.isalpha()) for c in term)
