"""How each ONNX operator is read: the mirror of `kir.exporters.onnx_file.ops`.

An operator that means the same, without attributes, is read by the exporter's own table, `SAME`. Each of the others has
one function here, for all its versions since opset 7. An operator without a function is unknown.

A function is called with the `Call` and the node's inputs (None for an absent one), and returns its outputs. What must
never be added here: a rewrite that makes the graph better. That is a pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, TypeVar

import numpy as np

from kir.dims import Dim, Sym, divide_exactly, product
from kir.errors import FormatError, ShapeError, UnsupportedError
from kir.exporters.onnx_file.ops import SAME, TAKES_ALPHA, TAKES_BETA
from kir.importers.onnx_file import recognise, sizes
from kir.importers.onnx_file.numbers import intended
from kir.importers.onnx_file.reading import read_dtype
from kir.importers.onnx_file.sizes import Sizes
from kir.importers.onnx_file.translate import Call, Operand
from kir.op import Op, field_names, input_names
from kir.ops.elementwise import (
    ACTIVATIONS,
    SELU_ALPHA,
    SELU_SCALE,
    Add,
    And,
    Cast,
    Celu,
    Clip,
    Div,
    Elu,
    Equal,
    Gelu,
    Greater,
    HardSigmoid,
    IsInf,
    LeakyRelu,
    Less,
    Log,
    Maximum,
    Minimum,
    Mod,
    Mul,
    Pow,
    PRelu,
    Selu,
    Shrink,
    Sigmoid,
    ThresholdedRelu,
    Where,
)
from kir.ops.linear import Dense, Einsum, MatMul
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.random import Dropout
from kir.ops.recurrent import GRU, LSTM, RNN, Activation
from kir.ops.reduce import (
    ArgMax,
    ArgMin,
    ReduceL1,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
)
from kir.ops.shape import (
    Concat,
    CumSum,
    Expand,
    Gather,
    GatherElements,
    GatherND,
    OneHot,
    Pad,
    Range,
    Reshape,
    ScatterND,
    Slice,
    Split,
    Tile,
    TopK,
    Transpose,
    Trilu,
)
from kir.ops.sparse import SparseToDense
from kir.types import DType, Shape, as_dtype, broadcast_shapes, normalize_axis

Results = Operand | Sequence[Operand | None]
Item = TypeVar("Item")
Importer = Callable[..., Results]

IMPORTERS: dict[str, Importer] = {}

# A bound of a Slice from here on says "to the end".
HUGE = 2**31 - 1


def imports(*op_types: str) -> Callable[[Importer], Importer]:
    """Registers a function that reads these operators."""

    def register(function: Importer) -> Importer:
        IMPORTERS.update(dict.fromkeys(op_types, function))
        return function

    return register


def translate(call: Call, inputs: Sequence[Operand | None]) -> Sequence[Operand | None]:
    """The outputs of a node.

    The operator is one of `IMPORTERS`, and the inputs have passed `check_inputs`.

    Raises:
        UnsupportedError: kir cannot say it.
        FormatError: the node is not as ONNX defines its operator.
        KirError: the operator refuses its inputs.
    """
    results = IMPORTERS[call.op_type](call, *inputs)
    unread = sorted(call.attributes.unread())
    if unread:
        raise UnsupportedError(f"kir does not know the attribute {', '.join(unread)} of ONNX's {call.op_type}")
    return [results] if isinstance(results, Operand) else results


def check_inputs(op_type: str, inputs: Sequence[Operand | None]) -> None:
    """Whether a node has as many inputs as its operator, and those that must not be absent.

    Raises:
        UnsupportedError: kir has no such operator.
        FormatError: it has not.
    """
    importer = IMPORTERS.get(op_type)
    if importer is None:
        raise UnsupportedError(f"kir has no operator for ONNX's {op_type}")
    least, most, required = _arity(importer)
    if not least <= len(inputs) <= most:
        expected = f"{least}" if least == most else f"{least} or more" if most == ANY_NUMBER else f"{least} to {most}"
        raise FormatError(f"{op_type} received {len(inputs)} inputs; expected {expected}")
    if None in inputs[:required]:
        raise FormatError(f"input {inputs.index(None)} of {op_type} is absent; expected a value")


ANY_NUMBER = 1 << 31


@cache
def _arity(importer: Importer) -> tuple[int, int, int]:
    """Of a function of this module: the least and the largest number of inputs, and how many must not be absent."""
    parameters = list(inspect.signature(importer).parameters.values())[1:]
    required = len([p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL])
    variadic = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    if variadic is None:
        return required, len(parameters), required
    may_be_absent = variadic.annotation == "Operand | None"
    return max(required, 1), ANY_NUMBER, required if may_be_absent else ANY_NUMBER


# What a Dense may have as its activation.
FUSED: frozenset[type[Op]] = ACTIVATIONS | {Softmax, LogSoftmax}


# Operators that mean the same


def _unary(cls: type[Op]) -> Importer:
    def importer(call: Call, x: Operand) -> Results:
        return activation(call, cls(), x)

    return importer


def _binary(cls: type[Op]) -> Importer:
    def importer(call: Call, a: Operand, b: Operand) -> Results:
        return call.add(cls(), a, b)

    return importer


def activation(call: Call, op: Op, x: Operand) -> Operand:
    """An operator of one input, which may be the activation of a Dense."""
    if type(op) in FUSED:
        fused = recognise.activate(call.translator, op, x)
        if fused is not None:
            return fused
    return call.add(op, x)


for _cls, _same in SAME.items():
    if not field_names(_cls):
        _count = len(input_names(_cls))
        if _count <= 2:
            IMPORTERS[_same.name] = _unary(_cls) if _count == 1 else _binary(_cls)


# elementwise


@imports("LeakyRelu")
def leaky_relu(call: Call, x: Operand) -> Results:
    return activation(call, LeakyRelu(call.attributes.number("alpha", 0.01)), x)


@imports("Elu")
def elu(call: Call, x: Operand) -> Results:
    return activation(call, Elu(call.attributes.number("alpha", 1.0)), x)


@imports("Celu")
def celu(call: Call, x: Operand) -> Results:
    return activation(call, Celu(call.attributes.number("alpha", 1.0)), x)


@imports("ThresholdedRelu")
def thresholded_relu(call: Call, x: Operand) -> Results:
    return activation(call, ThresholdedRelu(call.attributes.number("alpha", 1.0)), x)


@imports("HardSigmoid")
def hard_sigmoid(call: Call, x: Operand) -> Results:
    alpha, beta = call.attributes.number("alpha", 0.2), call.attributes.number("beta", 0.5)
    return activation(call, HardSigmoid(alpha, beta), x)


@imports("Shrink")
def shrink(call: Call, x: Operand) -> Results:
    bias, lambd = call.attributes.number("bias", 0.0), call.attributes.number("lambd", 0.5)
    return activation(call, Shrink(bias, lambd), x)


@imports("Equal")
def equal(call: Call, a: Operand, b: Operand) -> Results:
    if a.type.dtype is DType.STRING:
        raise UnsupportedError("kir has no Equal of strings")
    return call.add(Equal(), a, b)


@imports("Gelu")
def gelu(call: Call, x: Operand) -> Results:
    approximate = call.attributes.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise FormatError(f"Gelu has approximate={approximate!r}; expected 'none' or 'tanh'")
    return activation(call, Gelu(approximate == "tanh"), x)


@imports("Selu")
def selu(call: Call, x: Operand) -> Results:
    """With constants of its own: gamma * Elu."""
    alpha, gamma = call.attributes.number("alpha", None), call.attributes.number("gamma", None)
    if _is_default(alpha, SELU_ALPHA) and _is_default(gamma, SELU_SCALE):
        return activation(call, Selu(), x)
    elu = call.add(Elu(SELU_ALPHA if alpha is None else alpha), x)
    return scaled(call, elu, SELU_SCALE if gamma is None else gamma)


def _is_default(given: float | None, default: float) -> bool:
    return given is None or np.float32(given) == np.float32(default)


def scaled(call: Call, x: Operand, factor: float) -> Operand:
    """x times a number."""
    return call.add(Mul(), x, call.translator.constant(factor, x.type.dtype))


@imports("Swish")
def swish(call: Call, x: Operand) -> Results:
    alpha = call.attributes.number("alpha", 1.0)
    gate = call.add(Sigmoid(), x if alpha == 1 else scaled(call, x, alpha))
    return call.add(Mul(), x, gate)


@imports("IsInf")
def is_inf(call: Call, x: Operand) -> Results:
    signs = call.attributes.integer("detect_negative", 1), call.attributes.integer("detect_positive", 1)
    result = call.add(IsInf(), x)
    if all(signs):
        return result
    if not any(signs):
        return call.add(And(), result, call.add(Less(), x, x))  # nothing is less than itself
    zero = call.translator.constant(0, x.type.dtype)
    return call.add(And(), result, call.add(Greater() if signs[1] else Less(), x, zero))


@imports("Clip")
def clip(call: Call, x: Operand, minimum: Operand | None = None, maximum: Operand | None = None) -> Results:
    """To ONNX an absent bound is the largest finite number; one of inf does not bound, nor does it of integers."""
    dtype = x.type.dtype
    if call.opset < 11:
        bounds = [call.attributes.number("min", None), call.attributes.number("max", None)]
        given = [None if bound is None else call.translator.constant(bound, dtype) for bound in bounds]
    else:
        given = [minimum, maximum]
    return call.add(Clip(), x, *(_bound(call, bound, sign, dtype) for bound, sign in zip(given, (-1, 1), strict=True)))


def _bound(call: Call, bound: Operand | None, sign: int, dtype: DType) -> Operand | None:
    if bound is None:
        return call.translator.constant(sign * _largest(dtype), dtype) if dtype.is_float else None
    if dtype.is_float and bound.array is not None and bound.array.size == 1 and bound.array.item() == sign * np.inf:
        return None
    return bound if bound.type.rank == 0 else call.add(Reshape(()), bound)


def _largest(dtype: DType) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]


@imports("Cast")
def cast(call: Call, x: Operand) -> Results:
    call.attributes.integer("saturate", 1)  # says something about floats of 8 bits only
    call.attributes.text("round_mode", "up")
    dtype = read_dtype(call.attributes.integer("to"), "the target of Cast")
    return call.add(Cast(dtype), x)


@imports("CastLike")
def cast_like(call: Call, x: Operand, like: Operand) -> Results:
    call.attributes.integer("saturate", 1)
    call.attributes.text("round_mode", "up")
    return call.add(Cast(like.type.dtype), x)


@imports("Pow")
def pow_(call: Call, a: Operand, b: Operand) -> Results:
    """The exponent may be of another dtype than the base; it is cast to it."""
    if a.type.dtype.is_integer and b.type.dtype.is_float:
        power = call.add(Pow(), call.add(Cast(b.type.dtype), a), b)
        return call.add(Cast(a.type.dtype), power)
    return call.add(Pow(), a, b if a.type.dtype is b.type.dtype else call.add(Cast(a.type.dtype), b))


@imports("Mod")
def mod(call: Call, a: Operand, b: Operand) -> Results:
    fmod = bool(call.attributes.integer("fmod", 0))
    if a.type.dtype.is_float and not fmod:
        raise UnsupportedError("kir has Mod of floats with fmod=1 only")
    return call.add(Mod(fmod), a, b)


def _chain(op: Op, call: Call, *values: Operand) -> Operand:
    """One of several inputs: a chain of operators of two."""
    result = values[0]
    for value in values[1:]:
        result = call.add(op, result, value)
    return result


IMPORTERS["Max"] = lambda call, *values: _chain(Maximum(), call, *values)
IMPORTERS["Min"] = lambda call, *values: _chain(Minimum(), call, *values)
IMPORTERS["Sum"] = lambda call, *values: _chain(Add(), call, *values)


@imports("Mean")
def mean(call: Call, *values: Operand) -> Results:
    total = _chain(Add(), call, *values)
    return call.add(Div(), total, call.translator.constant(len(values), total.type.dtype))


@imports("Add")
def add(call: Call, a: Operand, b: Operand) -> Results:
    return recognise.add_bias(call, a, b) or recognise.add_bias(call, b, a) or call.add(Add(), a, b)


@imports("Less")
def less(call: Call, a: Operand, b: Operand) -> Results:
    compared = recognise.compare_random(a.pending, b) if isinstance(a.pending, recognise.Uniform) else None
    return compared or call.add(Less(), a, b)


@imports("Where")
def where(call: Call, condition: Operand, a: Operand, b: Operand) -> Results:
    found: Operand | None = None
    if isinstance(condition.pending, recognise.Kept):
        found = recognise.drop(call, condition.pending, a, b)
    elif isinstance(a.pending, recognise.Dropped):
        found = recognise.switch(call, condition, a.pending, b)
    else:
        found = recognise.kept_state(call, condition, a, b)
    return found or call.add(Where(), condition, a, b)


@imports("PRelu")
def prelu(call: Call, x: Operand, slope: Operand) -> Results:
    return call.add(PRelu(), x, slope)


# linear


@imports("Gemm")
def gemm(call: Call, a: Operand, b: Operand, c: Operand | None = None) -> Results:
    """A Dense; with scaling, or an addend that is no bias, the parts of the formula one by one."""
    alpha, beta = call.attributes.number("alpha", 1.0), call.attributes.number("beta", 1.0)
    x = _turned(call, a, "transA")
    kernel = _turned(call, b, "transB")
    if c is not None and beta == 0:
        c = None
    elif c is not None and beta != 1:
        c = scaled(call, c, beta)
    if not x.type.dtype.is_float:
        result = call.add(MatMul(), x, kernel)
    elif alpha == 1 and c is not None and c.type.shape == kernel.type.shape[1:]:
        return call.add(Dense(), x, kernel, c)
    else:
        result = call.add(Dense(), x, kernel)
    if alpha != 1:
        result = scaled(call, result, alpha)
    return result if c is None else call.add(Add(), result, c)


def _turned(call: Call, matrix: Operand, attribute: str) -> Operand:
    if matrix.type.rank != 2:
        raise ShapeError(f"Gemm received {matrix.type}; expected a matrix")
    return call.add(Transpose((1, 0)), matrix) if call.attributes.integer(attribute, 0) else matrix


@imports("MatMul")
def matmul(call: Call, a: Operand, b: Operand) -> Results:
    return call.add(Dense() if recognise.multiply(call, a, b) else MatMul(), a, b)


@imports("Einsum")
def einsum(call: Call, *operands: Operand) -> Results:
    equation = call.attributes.text("equation")
    return call.add(Einsum(equation), *recognise.without_unsqueeze(equation, operands))


# nn


def _normalization(cls: Any, call: Call, x: Operand) -> Operand:
    """Before opset 13 everything from the axis on is one axis."""
    rank = x.type.rank
    axis = normalize_axis(call.attributes.integer("axis", -1 if call.opset >= 13 else 1), max(rank, 1))
    if call.opset >= 13 or axis == rank - 1:
        return activation(call, cls(axis), x)
    shape = x.type.shape
    flat = call.add(Reshape((product(shape[:axis]), product(shape[axis:]))), x)
    return call.add(Reshape(shape), call.add(cls(1), flat))


@imports("Softmax")
def softmax(call: Call, x: Operand) -> Results:
    return _normalization(Softmax, call, x)


@imports("LogSoftmax")
def log_softmax(call: Call, x: Operand) -> Results:
    return _normalization(LogSoftmax, call, x)


# shape


@imports("Identity")
def identity(call: Call, x: Operand) -> Results:
    return x


@imports("Shape")
def shape(call: Call, x: Operand) -> Results:
    rank = x.type.rank
    start, end = call.attributes.integer("start", 0), call.attributes.integer("end", rank)
    return call.translator.shape(x.type.shape[slice(start, end)])


@imports("Size")
def size(call: Call, x: Operand) -> Results:
    return call.translator.shape([product(x.type.shape)], is_scalar=True)


@imports("Reshape")
def reshape(call: Call, x: Operand, target: Operand | None = None) -> Results:
    wanted = call.attributes.integers("shape") if target is None else call.sizes(target, "shape")
    allow_zero = bool(call.attributes.integer("allowzero", 0))
    result = reshape_target(x.type.shape, wanted, allow_zero)
    return _reshaped(call, x, result)


def _reshaped(call: Call, x: Operand, shape: Shape) -> Operand:
    """A Reshape; of integers of rank 0 and 1 that are known, those."""
    if x.is_shape and x.sizes is not None and len(shape) <= 1:
        return call.translator.shape(x.sizes.items, is_scalar=not shape)
    result = call.add(Reshape(shape), x)
    if x.sizes is not None and len(shape) <= 1:
        result.sizes = Sizes(x.sizes.items, not shape)
    return result


def reshape_target(current: Shape, wanted: Sequence[Dim], allow_zero: bool) -> Shape:
    """The exact sizes of a Reshape: 0 is "as it was" unless zeros are allowed, -1 the rest.

    Raises:
        ShapeError: the rest is no whole number, or there are two.
    """
    if not allow_zero and any(size == 0 and axis >= len(current) for axis, size in enumerate(wanted)):
        raise ShapeError(f"Reshape to {tuple(wanted)} copies the size of an axis that {current} does not have")
    sizes = [current[axis] if size == 0 and not allow_zero else size for axis, size in enumerate(wanted)]
    unknown = [axis for axis, size in enumerate(sizes) if size == -1]
    if not unknown:
        return tuple(sizes)
    others = product(size for size in sizes if size != -1)
    rest = divide_exactly(product(current), others)
    if len(unknown) > 1 or rest is None:
        raise ShapeError(
            f"Reshape of {current} to {tuple(wanted)} leaves a size open; give concrete sizes (--input-shapes)"
        )
    sizes[unknown[0]] = rest
    return tuple(sizes)


@imports("Flatten")
def flatten(call: Call, x: Operand) -> Results:
    rank = x.type.rank
    axis = call.attributes.integer("axis", 1)
    if not -rank <= axis <= rank:
        raise ShapeError(f"Flatten received axis={axis} for {x.type}; expected {-rank} to {rank}")
    axis = axis + rank if axis < 0 else axis
    return call.add(Reshape((product(x.type.shape[:axis]), product(x.type.shape[axis:]))), x)


@imports("Squeeze")
def squeeze(call: Call, x: Operand, axes: Operand | None = None) -> Results:
    given = call.attributes.integers("axes", None) if axes is None else call.known(axes, "axes")
    shape = x.type.shape
    if given is None:
        if any(isinstance(dim, Sym) for dim in shape):
            raise UnsupportedError(f"Squeeze of {x.type} removes the axes that turn out to be 1; kir needs them known")
        given = [axis for axis, dim in enumerate(shape) if dim == 1]
    removed = set(call.axes(given, len(shape)))
    if any(shape[axis] != 1 for axis in removed):
        raise ShapeError(f"Squeeze of the axes {sorted(removed)} received {x.type}; expected sizes of 1")
    return _reshaped(call, x, tuple(dim for axis, dim in enumerate(shape) if axis not in removed))


@imports("Unsqueeze")
def unsqueeze(call: Call, x: Operand, axes: Operand | None = None) -> Results:
    given = call.attributes.integers("axes") if axes is None else call.known(axes, "axes")
    rank = x.type.rank + len(given)
    added = set(call.axes(given, rank))
    if len(added) != len(given):
        raise ShapeError(f"Unsqueeze of {x.type} received the axes {tuple(given)}; expected different ones")
    old = iter(x.type.shape)
    return _reshaped(call, x, tuple(1 if axis in added else next(old) for axis in range(rank)))


@imports("Transpose")
def transpose(call: Call, x: Operand) -> Results:
    permutation = call.attributes.integers("perm", tuple(reversed(range(x.type.rank))))
    return call.add(Transpose(permutation), x)


@imports("Expand")
def expand(call: Call, x: Operand, target: Operand) -> Results:
    wanted = call.sizes(target, "shape")
    return call.add(Expand(broadcast_shapes(x.type.shape, wanted)), x)


@imports("Tile")
def tile(call: Call, x: Operand, repeats: Operand) -> Results:
    return call.add(Tile(call.sizes(repeats, "repeats")), x)


@imports("Concat")
def concat(call: Call, *values: Operand) -> Results:
    axis = normalize_axis(call.attributes.integer("axis"), max(values[0].type.rank, 1))
    return call.add(Concat(axis), *values)


@imports("Slice")
def slice_(
    call: Call,
    x: Operand,
    starts: Operand | None = None,
    ends: Operand | None = None,
    axes: Operand | None = None,
    steps: Operand | None = None,
) -> Results:
    if starts is None:
        first, last = call.attributes.integers("starts"), call.attributes.integers("ends")
        over = call.attributes.integers("axes", tuple(range(len(first))))
    else:
        first, last = call.sizes(starts, "starts"), call.sizes(ends, "ends")
        over = tuple(range(len(first))) if axes is None else call.known(axes, "axes")
    step = (1,) * len(first) if steps is None else call.known(steps, "steps")
    over = call.axes(over, x.type.rank)
    if not len(first) == len(last) == len(over) == len(step):
        raise ShapeError(f"Slice has {len(first)} starts, {len(last)} ends, {len(over)} axes and {len(step)} steps")
    columns = zip(over, first, last, step, strict=True)
    bounds = [slice_bounds(start, end, by, x.type.shape[axis]) for axis, start, end, by in columns]
    return call.add(Slice(over, tuple(b[0] for b in bounds), tuple(b[1] for b in bounds), step), x)


def slice_bounds(start: Dim, end: Dim, step: int, size: Dim) -> tuple[Dim, Dim]:
    """The bounds of a Slice inside its axis, counted from the front; see `kir.ops.shape.Slice`.

    Of a symbolic axis, a bound that is a number is taken to be inside.
    """
    if step > 0:
        low = _clamp(start, size, 0, size)
        high = _clamp(end, size, 0, size)
    else:
        low = _clamp(start, size, -1, size - 1)
        high = -1 if isinstance(end, int) and end <= -HUGE else _clamp(end, size, -1, size - 1)
    if isinstance(low, int) and isinstance(high, int) and (low > high if step > 0 else low < high):
        high = low
    return low, high


def _clamp(bound: Dim, size: Dim, lowest: int, highest: Dim) -> Dim:
    if isinstance(bound, int) and bound >= HUGE:
        return highest
    if isinstance(bound, int) and bound <= -HUGE:
        return lowest
    if sizes.counts_from_end(bound, size):
        bound = bound + size
    if isinstance(bound, int) and isinstance(highest, int):
        return max(lowest, min(bound, highest))
    return max(bound, lowest) if isinstance(bound, int) else bound


@imports("Split")
def split(call: Call, x: Operand, given: Operand | None = None) -> Results:
    axis = normalize_axis(call.attributes.integer("axis", 0), max(x.type.rank, 1))
    if x.type.rank == 0:
        raise ShapeError(f"Split received {x.type}; expected an axis to split")
    parts = call.attributes.integers("split", None) if given is None else call.sizes(given, "sizes")
    count = call.attributes.integer("num_outputs", len(call.outputs))
    if parts is None:
        parts = _equal_parts(x.type.shape[axis], count)
    return call.translator.add_all(Split(axis, tuple(parts)), x)


def _equal_parts(size: Dim, count: int) -> tuple[Dim, ...]:
    """Parts of one size; the last may be smaller."""
    if not 0 < count <= 100_000:
        raise FormatError(f"Split has {count} outputs; expected one or more")
    exact = divide_exactly(size, count)
    if exact is not None:
        return (exact,) * count
    if isinstance(size, Sym):
        raise UnsupportedError(f"Split of an axis of size {size} into {count} parts, which need not be equal")
    part = -(-size // count)
    return (*(part,) * (count - 1), size - part * (count - 1))


@imports("Pad")
def pad(
    call: Call,
    x: Operand,
    pads: Operand | None = None,
    value: Operand | None = None,
    axes: Operand | None = None,
) -> Results:
    mode = call.attributes.text("mode", "constant")
    if pads is None:
        widths = call.attributes.integers("pads")
        number = call.attributes.number("value", 0.0)
        value = call.translator.constant(number, x.type.dtype) if number else None
    else:
        widths = call.sizes(pads, "pads")
    over = range(x.type.rank) if axes is None else call.axes(call.known(axes, "axes"), x.type.rank)
    if len(widths) != 2 * len(over):
        raise ShapeError(f"Pad of {x.type} has {len(widths)} pads; expected {2 * len(over)}")
    before: list[Dim] = [0] * x.type.rank
    after: list[Dim] = [0] * x.type.rank
    for position, axis in enumerate(over):
        before[axis], after[axis] = widths[position], widths[position + len(over)]
    if mode not in ("constant", "reflect", "edge"):
        raise UnsupportedError(f"kir has no Pad with mode={mode!r}")
    x, before, after = _cropped(call, x, before, after)
    if value is not None and value.type.rank:
        value = call.add(Reshape(()), value)
    return call.add(Pad(tuple(before), tuple(after), mode), x, value if mode == "constant" else None)


def _cropped(call: Call, x: Operand, before: list[Dim], after: list[Dim]) -> tuple[Operand, list[Dim], list[Dim]]:
    """Negative pads, which take elements away, as a Slice in front."""
    if not any(map(sizes.is_negative, (*before, *after))):
        return x, before, after
    starts = [-b if sizes.is_negative(b) else 0 for b in before]
    cuts = [a if sizes.is_negative(a) else 0 for a in after]
    ends = [size + cut for size, cut in zip(x.type.shape, cuts, strict=True)]
    axes = tuple(range(x.type.rank))
    cropped = call.add(Slice(axes, tuple(starts), tuple(ends), (1,) * len(axes)), x)
    rest = [[0 if sizes.is_negative(width) else width for width in widths] for widths in (before, after)]
    return cropped, rest[0], rest[1]


@imports("Gather")
def gather(call: Call, x: Operand, indices: Operand) -> Results:
    axis = normalize_axis(call.attributes.integer("axis", 0), max(x.type.rank, 1))
    return call.add(Gather(axis), x, indices)


@imports("GatherElements")
def gather_elements(call: Call, x: Operand, indices: Operand) -> Results:
    axis = normalize_axis(call.attributes.integer("axis", 0), max(x.type.rank, 1))
    return call.add(GatherElements(axis), x, indices)


@imports("GatherND")
def gather_nd(call: Call, x: Operand, indices: Operand) -> Results:
    return call.add(GatherND(call.attributes.integer("batch_dims", 0)), x, indices)


@imports("ScatterND")
def scatter_nd(call: Call, x: Operand, indices: Operand, updates: Operand) -> Results:
    reduction = call.attributes.text("reduction", "none")
    if isinstance(x.pending, recognise.Zeros) and reduction == "add":
        return _sparse(call, x.pending, indices, updates)
    if reduction != "none":
        raise UnsupportedError(f"kir has no ScatterND with reduction={reduction!r}")
    return call.add(ScatterND(), x, indices, updates)


def _sparse(call: Call, zeros: recognise.Zeros, indices: Operand, updates: Operand) -> Operand:
    rank = indices.type.shape[-1]
    hint = call.translator.hints.get(call.outputs[0])
    if not isinstance(rank, int) or rank > 32:
        raise UnsupportedError(f"ScatterND of indices {indices.type} into a tensor of unknown rank")
    shape: Shape
    if hint is not None and hint.rank == rank:
        shape = hint.shape
    else:
        shape = tuple(call.translator.size_names.new(f"{call.outputs[0]}_{axis}") for axis in range(rank))
    return call.add(SparseToDense(shape), indices, updates, zeros.size)


@imports("OneHot")
def one_hot(call: Call, indices: Operand, depth: Operand, values: Operand) -> Results:
    rank = indices.type.rank
    axis = normalize_axis(call.attributes.integer("axis", -1), rank + 1)
    count = _one(call.sizes(depth, "depth"), "OneHot's depth")
    if not indices.type.dtype.is_integer:
        indices = call.add(Cast(DType.INT64), indices)
    return call.add(OneHot(count, axis), indices, values)


def _one(given: Sequence[Item], what: str) -> Item:
    if len(given) != 1:
        raise ShapeError(f"{what} has {len(given)} elements; expected one")
    return given[0]


@imports("Range")
def range_(call: Call, start: Operand, stop: Operand, step: Operand) -> Results:
    dtype = start.type.dtype
    if not dtype.is_integer:
        bounds = [_one(call.array(bound, "bounds").ravel().tolist(), "Range's bound") for bound in (start, stop, step)]
        if not bounds[2] or not 0 <= (bounds[1] - bounds[0]) / bounds[2] + 1 <= 1e7:
            raise UnsupportedError(f"Range from {bounds[0]} to {bounds[1]} in steps of {bounds[2]}")
        return call.translator.constant(np.arange(*bounds, dtype=dtype.numpy), dtype)
    first, last = _one(call.sizes(start, "start"), "Range's start"), _one(call.sizes(stop, "limit"), "Range's limit")
    increment = _one(call.known(step, "delta"), "Range's delta")
    if isinstance(first, int) and isinstance(last, int) and (last - first) * increment < 0:
        last = first
    result = call.add(Range(first, last, increment))
    if isinstance(first, int) and isinstance(last, int) and increment:
        items = range(first, last, increment)
        result.sizes = Sizes(tuple(items)) if len(items) <= sizes.MAX_LENGTH else None
    return result if dtype is DType.INT64 else call.add(Cast(dtype), result)


@imports("TopK")
def top_k(call: Call, x: Operand, k: Operand | None = None) -> Results:
    axis = normalize_axis(call.attributes.integer("axis", -1), max(x.type.rank, 1))
    count = call.attributes.integer("k") if k is None else _one(call.sizes(k, "k"), "TopK's k")
    largest, in_order = (bool(call.attributes.integer(name, 1)) for name in ("largest", "sorted"))
    return call.translator.add_all(TopK(count, axis, largest, in_order), x)


@imports("CumSum")
def cum_sum(call: Call, x: Operand, axis: Operand) -> Results:
    given = _one(call.known(axis, "axis"), "CumSum's axis")
    flags = (bool(call.attributes.integer(name, 0)) for name in ("exclusive", "reverse"))
    return call.add(CumSum(normalize_axis(given, max(x.type.rank, 1)), *flags), x)


@imports("Trilu")
def trilu(call: Call, x: Operand, k: Operand | None = None) -> Results:
    diagonal = 0 if k is None else _one(call.known(k, "k"), "Trilu's k")
    return call.add(Trilu(bool(call.attributes.integer("upper", 1)), diagonal), x)


@imports("Constant")
def constant(call: Call) -> Results:
    attributes = call.attributes
    readers: dict[str, Callable[[str], Any]] = {
        "value": attributes.tensor,
        "value_float": lambda name: np.float32(attributes.number(name)),
        "value_floats": lambda name: np.array(attributes.numbers(name), np.float32),
        "value_int": lambda name: np.int64(attributes.integer(name)),
        "value_ints": lambda name: np.array(attributes.integers(name), np.int64),
        "value_string": lambda name: np.array(attributes.text(name), object),
        "value_strings": lambda name: np.array(attributes.texts(name), object),
    }
    given = [name for name in readers if attributes.has(name)]
    if len(given) != 1:
        raise UnsupportedError(f"a Constant with the values {given}; kir reads one of {', '.join(readers)}")
    return Operand.of_array("", np.asarray(readers[given[0]](given[0])), None, call.translator.origin)


@imports("ConstantOfShape")
def constant_of_shape(call: Call, target: Operand) -> Results:
    filler = call.attributes.tensor("value", np.zeros(1, np.float32))
    if filler.size != 1:
        raise FormatError(f"ConstantOfShape has a value of {filler.size} elements; expected one")
    dtype = as_dtype(filler.dtype)
    scalar = call.translator.constant(filler.reshape(()), dtype)
    if target.sizes is None:
        if filler.any():
            raise UnsupportedError("ConstantOfShape of a shape that the model computes")
        return Operand("", pending=recognise.Zeros(target))
    items = target.sizes.items
    if len(items) == 0:
        return Operand.of_array("", filler.reshape(()), None, call.translator.origin)
    result = call.add(Expand(items), scalar)
    result.pending = None if filler.any() else recognise.Zeros(target)
    (count,) = items if len(items) == 1 else (None,)
    if isinstance(count, int) and count <= sizes.MAX_LENGTH and dtype is DType.INT64:
        result.sizes = Sizes((int(filler.item()),) * count)
    return result


# reduce


def _reduce(cls: Any, call: Call, x: Operand, axes: Operand | None = None) -> Operand:
    """Without axes: over all of them, or none, as `noop_with_empty_axes` says."""
    keepdims = bool(call.attributes.integer("keepdims", 1))
    given = call.attributes.integers("axes", ()) if axes is None else call.known(axes, "axes")
    does_nothing = bool(call.attributes.integer("noop_with_empty_axes", 0)) and not given
    rank = x.type.rank
    chosen = call.axes(given, rank) if given else tuple(range(rank))
    if does_nothing and rank:
        # Over an axis of its own, of size 1, each element is reduced alone.
        alone = call.add(Reshape((*x.type.shape, 1)), x)
        return _reduced(call, cls, (rank,), False, alone)
    return _reduced(call, cls, chosen, keepdims, x)


def _reduced(call: Call, cls: Any, axes: tuple[int, ...], keepdims: bool, x: Operand) -> Operand:
    if x.type.dtype is DType.BOOL and cls in (ReduceMax, ReduceMin):
        result = call.add(cls(axes, keepdims), call.add(Cast(DType.UINT8), x))
        return call.add(Cast(DType.BOOL), result)
    if cls is not None:
        return call.add(cls(axes, keepdims), x)
    return call.add(Log(), call.add(ReduceSum(axes, keepdims), x))


for _name, _class in {
    "ReduceL1": ReduceL1,
    "ReduceL2": ReduceL2,
    "ReduceLogSum": None,
    "ReduceLogSumExp": ReduceLogSumExp,
    "ReduceMax": ReduceMax,
    "ReduceMean": ReduceMean,
    "ReduceMin": ReduceMin,
    "ReduceProd": ReduceProd,
    "ReduceSum": ReduceSum,
    "ReduceSumSquare": ReduceSumSquare,
}.items():
    IMPORTERS[_name] = partial(_reduce, _class)


def _place(cls: Any, call: Call, x: Operand) -> Operand:
    axis = normalize_axis(call.attributes.integer("axis", 0), max(x.type.rank, 1))
    keepdims = bool(call.attributes.integer("keepdims", 1))
    if call.attributes.integer("select_last_index", 0):
        raise UnsupportedError(f"kir has no {cls.__name__} with select_last_index=1")
    return call.add(cls(axis, keepdims), x)


IMPORTERS["ArgMax"] = partial(_place, ArgMax)
IMPORTERS["ArgMin"] = partial(_place, ArgMin)


def _global_pool(cls: Any, call: Call, x: Operand) -> Operand:
    return call.add(cls(tuple(range(2, x.type.rank)), True), x)


IMPORTERS["GlobalAveragePool"] = partial(_global_pool, ReduceMean)
IMPORTERS["GlobalMaxPool"] = partial(_global_pool, ReduceMax)


# random


@imports("Dropout")
def dropout(call: Call, x: Operand, ratio: Operand | None = None, training: Operand | None = None) -> Results:
    """The mask, its second output, is none of kir's."""
    if len(call.outputs) > 1 and call.outputs[1] and call.translator.reads.get(call.outputs[1]):
        raise UnsupportedError("the mask of a Dropout is used; kir has none")
    seed = call.attributes.integer("seed", None)
    if call.opset < 12:
        rate = call.attributes.number("ratio", 0.5)
    else:
        rate = 0.5 if ratio is None else _rate(call.array(ratio, "ratio"))
    return [call.add(Dropout(rate, None, seed), x, *([] if training is None else [training])), None]


def _rate(ratio: Any) -> float:
    if ratio.size != 1:
        raise ShapeError(f"the ratio of a Dropout has {ratio.size} elements; expected one")
    return intended(float(ratio.item()))


@imports("RandomUniformLike")
def random_uniform_like(call: Call, template: Operand) -> Results:
    attributes = call.attributes
    low, high, seed = attributes.number("low", 0.0), attributes.number("high", 1.0), attributes.number("seed", None)
    attributes.integer("dtype", 1)
    if (low, high) != (0, 1):
        raise UnsupportedError("RandomUniformLike outside a Dropout")
    return Operand("", pending=recognise.Uniform(template.type.shape, None if seed is None else int(seed)))


# recurrent

ACTIVATION_DEFAULTS: dict[str, tuple[float, float]] = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, 0.0),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, 0.0),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, 0.0),
}


def _recurrent(cls: Any, defaults: tuple[str, ...], call: Call, inputs: Sequence[Operand | None]) -> Results:
    filled = [*inputs, *[None] * (8 - len(inputs))]
    (x, kernel, recurrent, bias, lens), initial = filled[:5], filled[5:]
    assert x is not None
    assert kernel is not None
    assert recurrent is not None
    if initial[2] is not None or (initial[1] is not None and cls is not LSTM):
        raise UnsupportedError(f"kir has no {cls.__name__} with peephole weights")
    for name in ("clip", "input_forget"):
        if call.attributes.has(name):
            raise UnsupportedError(f"kir has no {cls.__name__} with {name}")
    batch_first = bool(call.attributes.integer("layout", 0))
    direction = call.attributes.text("direction", "forward")
    if recurrent.type.rank != 3 or kernel.type.rank != 3:
        raise ShapeError(f"{cls.__name__} received weights {kernel.type} and {recurrent.type}; expected rank 3")
    units = call.attributes.integer("hidden_size", None) or recurrent.type.shape[-1]
    fields: dict[str, Any] = {"units": units, "direction": direction}
    fields["activations"] = _activations(call, defaults * (2 if direction == "bidirectional" else 1))
    if cls is GRU:
        fields["linear_before_reset"] = bool(call.attributes.integer("linear_before_reset", 0))
    if bias is None:
        shape = (*kernel.type.shape[:1], 2 * kernel.type.shape[1])
        if not all(isinstance(size, int) and size <= 1 << 24 for size in shape):
            raise UnsupportedError(f"{cls.__name__} without a bias has a kernel {kernel.type} of unknown size")
        bias = call.translator.constant(np.zeros(shape), x.type.dtype)
    states = [state and _turn(call, state, (1, 0, 2)) if batch_first else state for state in initial[: cls.states]]
    given = [_turn(call, x, (1, 0, 2)) if batch_first else x, kernel, recurrent, bias, lens, *states]
    while given[-1] is None:
        given.pop()
    results = call.translator.add_all(cls(**fields), *given)
    if not batch_first:
        return results
    return [_turn(call, results[0], (2, 0, 1, 3)), *(_turn(call, state, (1, 0, 2)) for state in results[1:])]


def _turn(call: Call, x: Operand, permutation: tuple[int, ...]) -> Operand:
    return call.add(Transpose(permutation), x)


def _activations(call: Call, defaults: tuple[str, ...]) -> tuple[Activation, ...]:
    """ONNX lists alpha and beta of those activations that take one, in order."""
    names = call.attributes.texts("activations", defaults)
    alphas = iter(call.attributes.numbers("activation_alpha", ()))
    betas = iter(call.attributes.numbers("activation_beta", ()))
    result: list[Activation] = []
    for name in names:
        alpha, beta = ACTIVATION_DEFAULTS.get(name, (0.0, 0.0))
        alpha = next(alphas, alpha) if name in TAKES_ALPHA else 0.0
        beta = next(betas, beta) if name in TAKES_BETA else 0.0
        result.append((name, alpha, beta))
    return tuple(result)


@imports("RNN")
def rnn(call: Call, x: Operand, kernel: Operand, recurrent: Operand, *others: Operand | None) -> Results:
    return _recurrent(RNN, ("Tanh",), call, (x, kernel, recurrent, *others[:5]))


@imports("GRU")
def gru(call: Call, x: Operand, kernel: Operand, recurrent: Operand, *others: Operand | None) -> Results:
    return _recurrent(GRU, ("Sigmoid", "Tanh"), call, (x, kernel, recurrent, *others[:5]))


@imports("LSTM")
def lstm(call: Call, x: Operand, kernel: Operand, recurrent: Operand, *others: Operand | None) -> Results:
    return _recurrent(LSTM, ("Sigmoid", "Tanh", "Tanh"), call, (x, kernel, recurrent, *others[:5]))


# Arithmetic on sizes


def fold_sizes(call: Call, inputs: Sequence[Operand | None]) -> Sizes | None:
    """What a node that computes integers from known ones gives; None if it is none, or that depends on the sizes."""
    given = [None if operand is None else operand.sizes for operand in inputs]
    if not given or any(one is None for one, operand in zip(given, inputs, strict=True) if operand is not None):
        return None
    rule = FOLDED.get(call.op_type)
    return None if rule is None else sizes.safely(lambda: rule(call, *given))


def _fold_slice(call: Call, data: Sizes, *bounds: Sizes | None) -> Sizes | None:
    if bounds:
        starts, ends, axes, steps = (*bounds, None, None, None)[:4]
        return None if starts is None or ends is None else sizes.slice_(data, starts, ends, axes, steps)
    return sizes.slice_(data, *(Sizes(call.attributes.integers(name, ())) for name in ("starts", "ends")))


def _fold_cast(call: Call, data: Sizes) -> Sizes | None:
    dtype = read_dtype(call.attributes.integer("to"), "the target of Cast")
    return data if dtype in (DType.INT64, DType.INT32) else None


def _fold_product(call: Call, data: Sizes, axes: Sizes | None = None) -> Sizes | None:
    total = sizes.total(data)
    return None if total is None or data.is_scalar else Sizes((total,), not call.attributes.integer("keepdims", 1))


FOLDED: dict[str, Callable[..., Sizes | None]] = {
    **{name: partial(lambda rule, call, *given: rule(*given), rule) for name, rule in sizes.ELEMENTWISE.items()},
    "Concat": lambda call, *given: sizes.concat(*given),
    "Gather": lambda call, data, indices: sizes.gather(data, indices),
    "Slice": _fold_slice,
    "Cast": _fold_cast,
    "ReduceProd": _fold_product,
}
