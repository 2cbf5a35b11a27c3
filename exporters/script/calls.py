"""Operators as calls of `kir.backend`: which function, with which arguments, gives exactly this one operator.

`CANDIDATES` proposes calls, and each is tried on tensors of the types at hand (see `fitting_call`): what gives another
operator, or more than one, is not used. So a proposal may be wrong for some inputs; what has none is written with
`emit`, whose meaning is the operator itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from kir import backend as K
from kir.errors import KirError
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant, Input
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import TensorType
from kir.lift.arrays import is_same_array
from kir.ops import elementwise, linear, nn, reduce, shape

Literal = Array | float | str  # what a constant is written as


@dataclass(frozen=True, slots=True)
class Ref:
    """The input of this number."""

    index: int


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a function of `kir.backend`; with a `symbol`, written as that operator of Python.

    The arguments hold `Ref`s, sizes, numbers, texts, and lists and tuples of those.
    """

    function: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    symbol: str = ""


def fitting_call(node: Node, given: Sequence[Literal | None]) -> FunctionCall | None:
    """Return a call that gives the node's operator on its inputs and nothing else; None if none is known.

    `given` has for each input the array, number or text that a constant is written as, None for any other.
    """
    propose = CANDIDATES.get(type(node.op))
    types = [value.type for value in node.inputs if value is not None]
    if propose is None or len(types) != len(node.inputs):
        return None
    return next((found for found in propose(node.op, types) if _gives(found, node, given)), None)


def _gives(proposed: FunctionCall, node: Node, given: Sequence[Literal | None]) -> bool:
    tracer = Tracer(Graph())
    inputs: list[Tensor | Literal] = []
    for index, (value, literal) in enumerate(zip(node.inputs, given, strict=True)):
        assert value is not None
        inputs.append(tracer.add(Input(str(index), value.type))[0] if literal is None else literal)
    try:
        with tracer.layer("call", "Call"):
            args = [_filled(argument, inputs) for argument in proposed.args]
            kwargs = {name: _filled(argument, inputs) for name, argument in proposed.kwargs.items()}
            results = getattr(K, proposed.function)(*args, **kwargs)
    except KirError:
        return False
    outputs = list(results) if isinstance(results, list | tuple) else [results]
    if not all(isinstance(output, Tensor) for output in outputs):
        return False
    made = outputs[0].value.node
    return (
        made.op == node.op
        and [output.value for output in outputs] == list(made.outputs)
        and len(made.inputs) == len(node.inputs)
        and all(map(_is_same_input, made.inputs, node.inputs, inputs))
    )


def _is_same_input(made: Value | None, wanted: Value | None, given: Tensor | Literal) -> bool:
    """Return whether an input that a call led to the operator is the one given, or a constant equal to it."""
    if isinstance(given, Tensor):
        return made is given.value
    a, b = (None if value is None else value.node.op for value in (made, wanted))
    return isinstance(a, Constant) and isinstance(b, Constant) and is_same_array(a.value.array, b.value.array)


def _filled(argument: object, inputs: Sequence[Tensor | Literal]) -> object:
    if isinstance(argument, Ref):
        return inputs[argument.index]
    if isinstance(argument, list | tuple):
        return type(argument)(_filled(item, inputs) for item in argument)
    return argument


# Proposals: of an operator and the types of its inputs, the calls that may give it, the most readable first.

Propose = Callable[[Any, Sequence[TensorType]], Sequence[FunctionCall]]


def _call(function: str, *args: object, **kwargs: object) -> list[FunctionCall]:
    return [FunctionCall(function, args, kwargs)]


def _plain(function: str, symbol: str) -> Propose:
    return lambda op, types: [FunctionCall(function, tuple(map(Ref, range(len(types)))), {}, symbol)]


def _reduction(function: str) -> Propose:
    def propose(op: reduce.ReduceSum, types: Sequence[TensorType]) -> Sequence[FunctionCall]:
        axes = {} if len(op.axes) == types[0].rank and function != "norm" else {"axis": _axis(op.axes)}
        return _call(function, Ref(0), **axes, **_unless(op.keepdims, False, "keepdims"))

    return propose


def _axis(axes: Sequence[int]) -> object:
    return axes[0] if len(axes) == 1 else axes


def _unless(value: object, usual: object, name: str) -> dict[str, object]:
    """Return a keyword, left out where it has the usual value."""
    return {} if value == usual else {name: value}


def _split(op: shape.Split, types: Sequence[TensorType]) -> Sequence[FunctionCall]:
    ends = list(accumulate(op.sizes[:-1]))
    equal = _call("split", Ref(0), len(op.sizes), axis=op.axis) if len(set(op.sizes)) == 1 else []
    return [*equal, *_call("split", Ref(0), ends, axis=op.axis)]


def _slice(op: shape.Slice, types: Sequence[TensorType]) -> Sequence[FunctionCall]:
    """Return an index with a slice for each axis; backwards, the end stands for everything down to the front."""
    key = [slice(None)] * (max(op.axes, default=-1) + 1)
    for axis, start, end, step in zip(op.axes, op.starts, op.ends, op.steps, strict=True):
        size = types[0].shape[axis]
        first, last = (size - 1, -1) if step < 0 else (0, size)
        bounds = [None if bound == usual else bound for bound, usual in ((start, first), (end, last), (step, 1))]
        key[axis] = slice(*bounds)
    return _call("get_item", Ref(0), tuple(key))


def _pad(op: shape.Pad, types: Sequence[TensorType]) -> Sequence[FunctionCall]:
    value = {"constant_values": Ref(1)} if len(types) > 1 else {}
    keywords = value if op.mode == "constant" else {"mode": op.mode}
    return _call("pad", Ref(0), tuple(zip(op.before, op.after, strict=True)), **keywords)


# Operators without attributes, by the function that emits them, and the symbol of Python that does.
PLAIN: dict[type[Op], tuple[str, str]] = {
    elementwise.Abs: ("absolute", ""),
    elementwise.Acos: ("arccos", ""),
    elementwise.Acosh: ("arccosh", ""),
    elementwise.Add: ("add", "+"),
    elementwise.And: ("logical_and", "&"),
    elementwise.Asin: ("arcsin", ""),
    elementwise.Asinh: ("arcsinh", ""),
    elementwise.Atan: ("arctan", ""),
    elementwise.Atanh: ("arctanh", ""),
    elementwise.Ceil: ("ceil", ""),
    elementwise.Clip: ("clip", ""),
    elementwise.Cos: ("cos", ""),
    elementwise.Cosh: ("cosh", ""),
    elementwise.Div: ("divide", "/"),
    elementwise.Equal: ("equal", "=="),
    elementwise.Erf: ("erf", ""),
    elementwise.Exp: ("exp", ""),
    elementwise.Floor: ("floor", ""),
    elementwise.Greater: ("greater", ">"),
    elementwise.GreaterOrEqual: ("greater_equal", ">="),
    elementwise.HardSwish: ("hard_silu", ""),
    elementwise.IsInf: ("isinf", ""),
    elementwise.IsNaN: ("isnan", ""),
    elementwise.Less: ("less", "<"),
    elementwise.LessOrEqual: ("less_equal", "<="),
    elementwise.Log: ("log", ""),
    elementwise.Maximum: ("maximum", ""),
    elementwise.Minimum: ("minimum", ""),
    elementwise.Mish: ("mish", ""),
    elementwise.Mul: ("multiply", "*"),
    elementwise.Neg: ("negative", "-"),
    elementwise.Not: ("logical_not", "~"),
    elementwise.Or: ("logical_or", "|"),
    elementwise.Pow: ("power", ""),
    elementwise.Reciprocal: ("reciprocal", ""),
    elementwise.Relu: ("relu", ""),
    elementwise.Round: ("round", ""),
    elementwise.Selu: ("selu", ""),
    elementwise.Sigmoid: ("sigmoid", ""),
    elementwise.Sign: ("sign", ""),
    elementwise.Sin: ("sin", ""),
    elementwise.Sinh: ("sinh", ""),
    elementwise.Softplus: ("softplus", ""),
    elementwise.Softsign: ("softsign", ""),
    elementwise.Sqrt: ("sqrt", ""),
    elementwise.Sub: ("subtract", "-"),
    elementwise.Tan: ("tan", ""),
    elementwise.Tanh: ("tanh", ""),
    elementwise.Where: ("where", ""),
    elementwise.Xor: ("logical_xor", "^"),
    linear.MatMul: ("matmul", "@"),
}
REDUCTIONS: dict[type[Op], str] = {
    reduce.ReduceL2: "norm",
    reduce.ReduceLogSumExp: "logsumexp",
    reduce.ReduceMax: "max",
    reduce.ReduceMean: "mean",
    reduce.ReduceMin: "min",
    reduce.ReduceProd: "prod",
    reduce.ReduceSum: "sum",
}

CANDIDATES: dict[type[Op], Propose] = {
    **{operator: _plain(*words) for operator, words in PLAIN.items()},
    **{operator: _reduction(function) for operator, function in REDUCTIONS.items()},
    elementwise.Cast: lambda op, types: _call("cast", Ref(0), op.dtype.keras_name),
    elementwise.Celu: lambda op, types: _call("celu", Ref(0), alpha=op.alpha),
    elementwise.Elu: lambda op, types: _call("elu", Ref(0), alpha=op.alpha),
    elementwise.Gelu: lambda op, types: _call("gelu", Ref(0), approximate=op.approximate),
    elementwise.HardSigmoid: lambda op, types: [*_call("hard_sigmoid", Ref(0)), *_call("sparse_sigmoid", Ref(0))],
    elementwise.LeakyRelu: lambda op, types: _call("leaky_relu", Ref(0), negative_slope=op.alpha),
    elementwise.Mod: lambda op, types: _call("fmod" if op.fmod else "mod", Ref(0), Ref(1)),
    elementwise.Shrink: lambda op, types: _call("soft_shrink" if op.bias else "hard_shrink", Ref(0), op.lambd),
    elementwise.ThresholdedRelu: lambda op, types: _call("threshold", Ref(0), op.alpha, 0),
    linear.Einsum: lambda op, types: _call("einsum", op.equation, *map(Ref, range(len(types)))),
    nn.LogSoftmax: lambda op, types: _call("log_softmax", Ref(0), **_unless(op.axis, types[0].rank - 1, "axis")),
    nn.Softmax: lambda op, types: _call("softmax", Ref(0), **_unless(op.axis, types[0].rank - 1, "axis")),
    shape.Concat: lambda op, types: _call("concatenate", [Ref(index) for index in range(len(types))], axis=op.axis),
    shape.CumSum: lambda op, types: _call("cumsum", Ref(0), axis=op.axis),
    shape.Expand: lambda op, types: _call("broadcast_to", Ref(0), op.shape),
    shape.Gather: lambda op, types: _call("take", Ref(0), Ref(1), axis=op.axis),
    shape.Pad: _pad,
    shape.Reshape: lambda op, types: _call("reshape", Ref(0), op.shape),
    shape.Slice: _slice,
    shape.Split: _split,
    shape.Tile: lambda op, types: _call("tile", Ref(0), op.repeats),
    shape.Transpose: lambda op, types: _call("transpose", Ref(0), op.permutation),
    shape.Trilu: lambda op, types: _call("triu" if op.upper else "tril", Ref(0), **_unless(op.k, 0, "k")),
}
