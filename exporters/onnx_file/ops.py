"""How each operator is written in ONNX.

`SAME` lists the operators whose ONNX operator means the same, with the same inputs and attributes. Each of the others
has one function here; so have those of `SAME` that are younger than opset 13, for the opsets before them. An equal
class name alone never means equal semantics. In float64 many operators are written by the formulas of `formulas.py`.

What must never be added here: a rewrite that makes the graph better. That is a pass.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, defs, helper

from kir.dims import Dim, Sym
from kir.errors import UnsupportedError
from kir.exporters.onnx_file import formulas
from kir.exporters.onnx_file.emitter import Emitter, Tensor, onnx_dtype
from kir.exporters.onnx_file.expression import Expression
from kir.op import Op
from kir.ops.elementwise import (
    Abs,
    Acos,
    Acosh,
    Add,
    And,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Cast,
    Ceil,
    Celu,
    Clip,
    Cos,
    Cosh,
    Div,
    Elu,
    Equal,
    Erf,
    Exp,
    Floor,
    Gelu,
    Greater,
    GreaterOrEqual,
    HardSigmoid,
    HardSwish,
    IsInf,
    IsNaN,
    LeakyRelu,
    Less,
    LessOrEqual,
    Log,
    Maximum,
    Minimum,
    Mish,
    Mod,
    Mul,
    Neg,
    Not,
    Or,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Round,
    Selu,
    Shrink,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Softplus,
    Softsign,
    Sqrt,
    Sub,
    Tan,
    Tanh,
    ThresholdedRelu,
    Where,
    Xor,
)
from kir.ops.linear import ELLIPSIS, Dense, Einsum, MatMul, parse_equation
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.opaque import Opaque
from kir.ops.random import Dropout
from kir.ops.recurrent import GRU, LSTM, RNN
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
    Size,
    Slice,
    Split,
    Tile,
    TopK,
    Transpose,
    Trilu,
)
from kir.ops.sparse import SparseToDense
from kir.ops.structural import Constant, Input, Output
from kir.types import DType

Names = str | tuple[str, ...]
Exporter = Callable[..., Names]

PAST_THE_FRONT = np.iinfo(np.int64).min  # as the end of a falling Slice: the first element is included


@dataclass(frozen=True)
class Same:
    """An ONNX operator that means the same. `renamed` maps fields to ONNX attributes of another name."""

    name: str
    since: int = 13
    renamed: Mapping[str, str] = field(default_factory=dict)


SAME: dict[type[Op], Same] = {
    Abs: Same("Abs"),
    Acos: Same("Acos"),
    Acosh: Same("Acosh"),
    Add: Same("Add"),
    And: Same("And"),
    ArgMax: Same("ArgMax"),
    ArgMin: Same("ArgMin"),
    Asin: Same("Asin"),
    Asinh: Same("Asinh"),
    Atan: Same("Atan"),
    Atanh: Same("Atanh"),
    Ceil: Same("Ceil"),
    Concat: Same("Concat"),
    Cos: Same("Cos"),
    Cosh: Same("Cosh"),
    Div: Same("Div"),
    Elu: Same("Elu"),
    Equal: Same("Equal"),
    Erf: Same("Erf"),
    Exp: Same("Exp"),
    Floor: Same("Floor"),
    Gather: Same("Gather"),
    GatherElements: Same("GatherElements"),
    GatherND: Same("GatherND"),
    Greater: Same("Greater"),
    GreaterOrEqual: Same("GreaterOrEqual"),
    HardSigmoid: Same("HardSigmoid"),
    HardSwish: Same("HardSwish", since=14),
    IsInf: Same("IsInf"),
    IsNaN: Same("IsNaN"),
    LeakyRelu: Same("LeakyRelu"),
    Less: Same("Less"),
    LessOrEqual: Same("LessOrEqual"),
    Log: Same("Log"),
    LogSoftmax: Same("LogSoftmax"),
    MatMul: Same("MatMul"),
    Maximum: Same("Max"),
    Minimum: Same("Min"),
    Mish: Same("Mish", since=18),
    Mod: Same("Mod"),
    Mul: Same("Mul"),
    Neg: Same("Neg"),
    Not: Same("Not"),
    Or: Same("Or"),
    PRelu: Same("PRelu"),
    Pow: Same("Pow"),
    Reciprocal: Same("Reciprocal"),
    Relu: Same("Relu", since=14),
    Round: Same("Round"),
    ScatterND: Same("ScatterND"),
    Selu: Same("Selu"),
    Shrink: Same("Shrink"),
    Sigmoid: Same("Sigmoid"),
    Sign: Same("Sign"),
    Sin: Same("Sin"),
    Sinh: Same("Sinh"),
    Softmax: Same("Softmax"),
    Softplus: Same("Softplus"),
    Softsign: Same("Softsign"),
    Sqrt: Same("Sqrt"),
    Sub: Same("Sub"),
    Tan: Same("Tan"),
    Tanh: Same("Tanh"),
    ThresholdedRelu: Same("ThresholdedRelu"),
    Transpose: Same("Transpose", renamed={"permutation": "perm"}),
    Where: Same("Where"),
    Xor: Same("Xor"),
}

EXPORTERS: dict[type[Op], Exporter] = {}

# Written by whoever builds the file: they are its inputs, outputs and initializers.
STRUCTURAL: frozenset[type[Op]] = frozenset({Input, Output, Constant})


def exports(*classes: type[Op]) -> Callable[[Exporter], Exporter]:
    """Registers a function that writes these operators.

    It is called with the emitter, the operator and its inputs (None for an absent one), and returns output names.
    """

    def register(function: Exporter) -> Exporter:
        EXPORTERS.update(dict.fromkeys(classes, function))
        return function

    return register


def supported_ops() -> frozenset[type[Op]]:
    """Every operator that can be written as ONNX."""
    return frozenset(SAME) | frozenset(EXPORTERS) | STRUCTURAL


def emit(emitter: Emitter, op: Op, *inputs: Tensor | None) -> tuple[str, ...]:
    """Writes one operator and returns the names of its outputs.

    Raises:
        UnsupportedError: the operator has no ONNX form (at the emitter's opset).
    """
    formula = formulas.FLOAT64_FORMULAS.get(type(op))
    if formula is not None and all(value is not None and value.type.dtype is DType.FLOAT64 for value in inputs):
        return (formula(op, *(Expression.of(emitter, value) for value in inputs if value is not None)).name,)
    same = SAME.get(type(op))
    if same is not None and emitter.opset >= same.since:
        attributes = {same.renamed.get(name, name): value for name, value in op.attributes().items()}
        return (emitter.node(same.name, names_of(inputs), **attributes),)
    function = EXPORTERS.get(type(op))
    if function is None:
        raise UnsupportedError(f"{op} has no ONNX form at opset {emitter.opset}; see `kir ops` for what has")
    result = function(emitter, op, *inputs)
    return result if isinstance(result, tuple) else (result,)


def names_of(inputs: Sequence[Tensor | None]) -> list[str]:
    return ["" if value is None else value.name for value in inputs]


def scalar_like(emitter: Emitter, value: float, x: Tensor) -> str:
    """A constant scalar of x's dtype."""
    return emitter.constant(value, "scalar", x.type.dtype.numpy)


# elementwise


@exports(Relu)
def relu(emitter: Emitter, op: Relu, x: Tensor) -> Names:
    """Before opset 14 Relu takes floats only."""
    if x.type.dtype.is_float:
        return emitter.node("Relu", [x.name])
    return emitter.node("Max", [x.name, scalar_like(emitter, 0, x)])


@exports(HardSwish)
def hard_swish(emitter: Emitter, op: HardSwish, x: Tensor) -> Names:
    return emitter.node("Mul", [x.name, emitter.node("HardSigmoid", [x.name], alpha=1 / 6, beta=0.5)])


@exports(Mish)
def mish(emitter: Emitter, op: Mish, x: Tensor) -> Names:
    return emitter.node("Mul", [x.name, emitter.node("Tanh", [emitter.node("Softplus", [x.name])])])


@exports(Gelu)
def gelu(emitter: Emitter, op: Gelu, x: Tensor) -> Names:
    if emitter.opset >= 20:
        return emitter.node("Gelu", [x.name], approximate="tanh" if op.approximate else "none")
    value = Expression.of(emitter, x)
    result = formulas.gelu_tanh(value) if op.approximate else formulas.gelu(value, lambda scaled: scaled.apply("Erf"))
    return result.name


@exports(Celu)
def celu(emitter: Emitter, op: Celu, x: Tensor) -> Names:
    """Before opset 28 Celu takes f32 only."""
    if x.type.dtype is DType.FLOAT32:
        return emitter.node("Celu", [x.name], alpha=op.alpha)
    return formulas.celu(Expression.of(emitter, x), op.alpha).name


@exports(Clip)
def clip(emitter: Emitter, op: Clip, x: Tensor, minimum: Tensor | None = None, maximum: Tensor | None = None) -> Names:
    """An absent bound does not bound; ONNX would put the largest finite number in its place."""
    bounds = names_of([minimum, maximum])
    if x.type.dtype.is_float:
        bounds = [bound or scalar_like(emitter, inf, x) for bound, inf in zip(bounds, (-np.inf, np.inf), strict=True)]
    return emitter.node("Clip", [x.name, *bounds])


@exports(Cast)
def cast(emitter: Emitter, op: Cast, x: Tensor) -> Names:
    return emitter.node("Cast", [x.name], to=onnx_dtype(op.dtype))


# linear


@exports(Dense)
def dense(emitter: Emitter, op: Dense, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Names:
    """Rank 2 is always Gemm: onnxruntime fuses Gemm with an activation, and never MatMul; without C it is faster."""
    if x.type.rank == 2:
        result = emitter.node("Gemm", names_of([x, kernel, bias]))
    else:
        result = emitter.node("MatMul", [x.name, kernel.name])
        if bias is not None:
            result = emitter.node("Add", [result, bias.name])
    if op.activation is None:
        return result
    type = Dense().infer(x.type, kernel.type, None if bias is None else bias.type)
    return emit(emitter, op.activation, Tensor(result, type))


@exports(Einsum)
def einsum(emitter: Emitter, op: Einsum, *operands: Tensor) -> Names:
    """In ONNX all ellipses stand for equally many axes: axes of size 1 make up for what is missing."""
    terms, _ = parse_equation(op.equation)
    hidden = [x.type.rank - len(term.replace(ELLIPSIS, "")) for term, x in zip(terms, operands, strict=True)]
    most = max(hidden)
    names = []
    for term, x, count in zip(terms, operands, hidden, strict=True):
        start = term.find(ELLIPSIS)
        axes = emitter.constant(range(start, start + most - count), "axes") if start >= 0 and count < most else ""
        names.append(emitter.node("Unsqueeze", [x.name, axes]) if axes else x.name)
    return emitter.node("Einsum", names, equation=op.equation)


# shape


@exports(Reshape)
def reshape(emitter: Emitter, op: Reshape, x: Tensor) -> Names:
    """One node and a constant shape unless two unknown sizes are new.

    1. A literal 0 in the target: the exact sizes, with 0 meaning 0.
    2. A symbolic size that stands at the same place in x: 0, "as it was".
    3. One other symbolic size: -1, "the rest".
    4. Any further ones are computed from the shapes of other values.

    A tensor without elements (a batch of 0) is reshaped too, except by a shape with both 0 and -1: of nothing, ONNX
    finds no rest. To compute that size would cost every model nodes for it, and its constant shape.
    """
    if 0 in op.shape:
        return _reshape_to_zero(emitter, op, x)
    new = [axis for axis, dim in enumerate(op.shape) if isinstance(dim, Sym) and not _stays(x, axis, dim)]
    # A composite size costs the most to compute, so it is the one to leave to -1.
    rest = next((axis for axis in new if _is_composite(op.shape[axis])), new[-1] if new else -1)
    shape: list[Dim] = [
        0 if _stays(x, axis, dim) and isinstance(dim, Sym) else -1 if axis == rest else dim
        for axis, dim in enumerate(op.shape)
    ]
    return emitter.node("Reshape", [x.name, emitter.sizes(shape)])


def _stays(x: Tensor, axis: int, dim: Dim) -> bool:
    return axis < x.type.rank and x.type.shape[axis] == dim


def _is_composite(dim: Dim) -> bool:
    return isinstance(dim, Sym) and dim.name is None


def _reshape_to_zero(emitter: Emitter, op: Reshape, x: Tensor) -> str:
    if emitter.opset >= 14:
        return emitter.node("Reshape", [x.name, emitter.sizes(op.shape)], allowzero=1)
    # Opset 13 cannot say 0; nothing is lost by making a new value of no elements.
    return _fill(emitter, op.shape, x.type.dtype)


def _fill(emitter: Emitter, shape: Sequence[Dim], dtype: DType) -> str:
    return emitter.node("ConstantOfShape", [emitter.sizes(shape)], value=_zero(dtype))


def _zero(dtype: DType) -> TensorProto:
    zero: Any = "" if dtype is DType.STRING else 0
    return helper.make_tensor("value", onnx_dtype(dtype), [1], [zero])


@exports(Expand)
def expand(emitter: Emitter, op: Expand, x: Tensor) -> Names:
    """Sizes that x already has are asked for as 1, so that unknown ones need not be computed."""
    offset = len(op.shape) - x.type.rank
    current = (None,) * offset + x.type.shape
    shape = [1 if size == wanted else wanted for size, wanted in zip(current, op.shape, strict=True)]
    return emitter.node("Expand", [x.name, emitter.sizes(shape)])


@exports(Slice)
def slice_(emitter: Emitter, op: Slice, x: Tensor) -> Names:
    starts, ends = [], []
    for axis, start, end, step in zip(op.axes, op.starts, op.ends, op.steps, strict=True):
        bounds = (start, end) if step > 0 else _falling_bounds(start, end, x.type.shape[axis])
        starts.append(bounds[0])
        ends.append(bounds[1])
    axes, steps = emitter.constant(op.axes, "axes"), emitter.constant(op.steps, "steps")
    return emitter.node("Slice", [x.name, emitter.sizes(starts), emitter.sizes(ends), axes, steps])


def _falling_bounds(start: Dim, end: Dim, size: Dim) -> tuple[Dim, Dim]:
    """Bounds of a negative step. To ONNX -1 is the last element; counted from the end, every bound is unmistakable."""
    below = PAST_THE_FRONT if end == -1 else end if isinstance(end, int) else end - size
    return start if isinstance(start, int) else start - size, below


@exports(Split)
def split(emitter: Emitter, op: Split, x: Tensor) -> Names:
    return emitter.nodes("Split", [x.name, emitter.sizes(op.sizes)], len(op.sizes), axis=op.axis)


@exports(Pad)
def pad(emitter: Emitter, op: Pad, x: Tensor, value: Tensor | None = None) -> Names:
    pads = emitter.sizes((*op.before, *op.after))
    return emitter.node("Pad", [x.name, pads, *names_of([value])], mode=op.mode)


@exports(Tile)
def tile(emitter: Emitter, op: Tile, x: Tensor) -> Names:
    return emitter.node("Tile", [x.name, emitter.sizes(op.repeats)])


@exports(OneHot)
def one_hot(emitter: Emitter, op: OneHot, indices: Tensor, values: Tensor) -> Names:
    """onnxruntime has kernels for float32 and int64; of other values, the places are looked up among the two."""
    is_direct = values.type.dtype in (DType.FLOAT32, DType.INT64)
    choices = values.name if is_direct else emitter.constant([0, 1], "choices")
    places = emitter.node("OneHot", [indices.name, emitter.size(op.depth), choices], axis=op.axis)
    return places if is_direct else emitter.node("Gather", [values.name, places])


@exports(Range)
def range_(emitter: Emitter, op: Range) -> Names:
    return emitter.node("Range", [emitter.scalar(bound) for bound in (op.start, op.stop, op.step)])


@exports(Size)
def size(emitter: Emitter, op: Size) -> Names:
    return emitter.scalar(op.dim)


@exports(TopK)
def top_k(emitter: Emitter, op: TopK, x: Tensor) -> Names:
    inputs = [x.name, emitter.size(op.k)]
    return emitter.nodes("TopK", inputs, 2, axis=op.axis, largest=op.largest, sorted=op.sorted)


@exports(CumSum)
def cum_sum(emitter: Emitter, op: CumSum, x: Tensor) -> Names:
    axis = emitter.constant(op.axis, "axis")
    return emitter.node("CumSum", [x.name, axis], exclusive=op.exclusive, reverse=op.reverse)


@exports(Trilu)
def trilu(emitter: Emitter, op: Trilu, x: Tensor) -> Names:
    if emitter.opset >= 14:
        return emitter.node("Trilu", [x.name, emitter.constant(op.k, "k")], upper=op.upper)
    rows, columns = (
        emitter.node("Range", [emitter.scalar(bound) for bound in (0, dim, 1)]) for dim in x.type.shape[-2:]
    )
    column_of_rows = emitter.node("Unsqueeze", [rows, emitter.constant([1], "axes")])
    first = emitter.node("Add", [column_of_rows, emitter.constant(op.k, "k")])
    kept = emitter.node("GreaterOrEqual" if op.upper else "LessOrEqual", [columns, first])
    return emitter.node("Where", [kept, x.name, scalar_like(emitter, 0, x)])


@exports(SparseToDense)
def sparse_to_dense(emitter: Emitter, op: SparseToDense, indices: Tensor, values: Tensor, size: Tensor) -> Names:
    if emitter.opset < 16:
        raise UnsupportedError(
            f"a sparse input needs opset 16 or newer (ScatterND that adds); received opset {emitter.opset}"
        )
    zeros = emitter.node("ConstantOfShape", [size.name], value=_zero(values.type.dtype))
    return emitter.node("ScatterND", [zeros, indices.name, values.name], reduction="add")


# reduce


@exports(ReduceL1, ReduceL2, ReduceLogSumExp, ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum, ReduceSumSquare)
def reduce(emitter: Emitter, op: Any, x: Tensor) -> Names:
    """The axes became an input at opset 13 for ReduceSum, and at 18 for all. A scalar has none: all of none."""
    if not op.axes:
        return emitter.node(op.name, [x.name], keepdims=op.keepdims)
    if emitter.opset >= 18 or isinstance(op, ReduceSum):
        return emitter.node(op.name, [x.name, emitter.constant(op.axes, "axes")], keepdims=op.keepdims)
    return emitter.node(op.name, [x.name], axes=op.axes, keepdims=op.keepdims)


# opaque


@exports(Opaque)
def opaque(emitter: Emitter, op: Opaque, *inputs: Tensor | None) -> Names:
    """The node as it was read; one of ONNX's own operators only where the opset means the same by it."""
    if not op.domain and _version(op.op_type, emitter.opset) != _version(op.op_type, op.version):
        raise UnsupportedError(
            f"ONNX's {op.op_type} is carried through as opset {op.version} defines it, and opset {emitter.opset} "
            f"defines it otherwise; write that opset (--opset {op.version})"
        )
    read = NodeProto.FromString(base64.b64decode(op.encoded))
    used = [bool(name) for name in read.output]
    outputs = emitter.nodes(op.op_type, names_of(inputs), len(op.types), used=used)
    node = emitter.graph.node[-1]
    if op.domain:
        node.domain = op.domain
    node.attribute.extend(read.attribute)
    return outputs


def _version(op_type: str, opset: int) -> int:
    """The opset that brought the definition of one of ONNX's own operators that holds at an opset; 0 if none did."""
    try:
        return int(defs.get_schema(op_type, opset).since_version)
    except defs.SchemaError:
        return 0


# random


@exports(Dropout)
def dropout(emitter: Emitter, op: Dropout, x: Tensor, training: Tensor | None = None) -> Names:
    """Dropout; with a noise shape, or a rate of 1, which ONNX excludes, a random choice written out."""
    if training is None or (op.noise_shape is None and op.rate < 1):
        # In float16 the ratio, and with it the scale, would be too coarse.
        dtype = np.float64 if x.type.dtype is DType.FLOAT64 else np.float32
        ratio = emitter.constant(op.rate, "ratio", dtype) if op.rate < 1 else ""
        return emitter.node("Dropout", [x.name, ratio, *names_of([training])], seed=op.seed)
    scale = 1 / (1 - op.rate) if op.rate < 1 else 1.0
    scaled = emitter.node("Mul", [x.name, scalar_like(emitter, scale, x)])
    kept = _draw(emitter, 1 - op.rate, x.type.shape if op.noise_shape is None else op.noise_shape, op.seed)
    dropped = emitter.node("Where", [kept, scaled, scalar_like(emitter, 0, x)])
    if training.value is not None and training.value.item():
        return dropped
    return emitter.node("Where", [training.name, dropped, x.name])


def _draw(emitter: Emitter, probability: float, shape: Sequence[Dim], seed: int | None) -> str:
    """Booleans of a shape, each true with the given probability.

    Neither a Dropout of ones, which onnxruntime folds into a constant, nor Bernoulli: onnxruntime runs the function
    that defines it in the ONNX standard, and that is true with the probability that it should be false with.
    """
    chance = emitter.constant(probability, "probability", np.float32)
    template = emitter.node("Expand", [chance, emitter.sizes(shape)])
    uniform = emitter.node(
        "RandomUniformLike", [template], dtype=TensorProto.FLOAT, seed=None if seed is None else float(seed)
    )
    return emitter.node("Less", [uniform, chance])


# recurrent


@exports(RNN)
def rnn(emitter: Emitter, op: RNN, *inputs: Tensor | None) -> Names:
    return _recurrent(emitter, op, inputs)


@exports(LSTM)
def lstm(emitter: Emitter, op: LSTM, *inputs: Tensor | None) -> Names:
    return _recurrent(emitter, op, inputs)


@exports(GRU)
def gru(emitter: Emitter, op: GRU, *inputs: Tensor | None) -> Names:
    return _recurrent(emitter, op, inputs, linear_before_reset=op.linear_before_reset)


# Which of alpha and beta an activation of a recurrent operator takes; ONNX lists only those taken, in order.
TAKES_ALPHA = frozenset({"Affine", "Elu", "HardSigmoid", "LeakyRelu", "ScaledTanh", "ThresholdedRelu"})
TAKES_BETA = frozenset({"Affine", "HardSigmoid", "ScaledTanh"})


def _recurrent(emitter: Emitter, op: RNN | GRU | LSTM, inputs: Sequence[Tensor | None], **attributes: Any) -> Names:
    """One node, without the outputs that nobody reads."""
    outputs = emitter.nodes(
        op.name,
        names_of(inputs),
        op.states + 1,
        used=emitter.used,
        hidden_size=op.units,
        direction=op.direction,
        activations=[name for name, _, _ in op.activations],
        activation_alpha=[alpha for name, alpha, _ in op.activations if name in TAKES_ALPHA] or None,
        activation_beta=[beta for name, _, beta in op.activations if name in TAKES_BETA] or None,
        **attributes,
    )
    lens, *initial = (*inputs[4:], None, None, None)[:3]
    return (outputs[0], *(_keep_state(emitter, lens, *pair) for pair in zip(initial, outputs[1:], strict=False)))


def _keep_state(emitter: Emitter, lens: Tensor | None, initial: Tensor | None, final: str) -> str:
    """The state after a sequence of no steps is the initial one; onnxruntime says 0."""
    if lens is None or initial is None or not final or (initial.value is not None and not initial.value.any()):
        return final
    is_empty = emitter.node("Equal", [lens.name, emitter.constant(0, "zero", np.int32)])
    column = emitter.node("Unsqueeze", [is_empty, emitter.constant([1], "axes")])
    return emitter.node("Where", [column, initial.name, final])
