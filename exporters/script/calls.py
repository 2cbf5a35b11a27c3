"""Operators as calls of `kir.backend`: which function, with which arguments, gives exactly this one operator.

`CANDIDATES` proposes calls, and each is tried on tensors of the types at hand (see `fitting_call`): what gives another
operator, or more than one, is not used. So a proposal may be wrong for some inputs; what has none is written with
`emit`, whose meaning is the operator itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kir import backend as K
from kir.errors import KirError
from kir.ir.dims import Dim
from kir.ir.graph import Graph, Node, Value
from kir.ir.op import Op
from kir.ir.structural import Constant, Input
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import TensorType
from kir.lift.arrays import is_same_array
from kir.ops import elementwise, linear, nn, reduce, shape


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
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    symbol: str = ""


Proposal = Callable[[Any, Sequence[TensorType]], Iterator[FunctionCall]]
CANDIDATES: dict[type[Op], Proposal] = {}


def fitting_call(node: Node, given: Sequence[Any]) -> FunctionCall | None:
    """A call that gives the node's operator on its inputs, nothing more and nothing else; None if none is known.

    `given` has for each input the array, number or list that a constant is written as, None for any other.
    """
    propose = CANDIDATES.get(type(node.op))
    types = [value.type for value in node.inputs if value is not None]
    if propose is None or len(types) != len(node.inputs):
        return None
    return next((found for found in propose(node.op, types) if _gives(found, node, given)), None)


def _gives(proposed: FunctionCall, node: Node, given: Sequence[Any]) -> bool:
    graph = Graph()
    tracer = Tracer(graph)
    inputs: list[Any] = []
    for index, (value, literal) in enumerate(zip(node.inputs, given, strict=True)):
        assert value is not None
        inputs.append(tracer.add(Input(str(index), value.type))[0] if literal is None else literal)
    try:
        with tracer.layer("call", "Call"):
            args = [_filled(argument, inputs) for argument in proposed.args]
            results = getattr(K, proposed.function)(
                *args, **{k: _filled(v, inputs) for k, v in proposed.kwargs.items()}
            )
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


def _is_same_input(made: Value | None, wanted: Value | None, given: Any) -> bool:
    """Whether an input that a call led to the operator is the one that was given, or a constant equal to it."""
    if isinstance(given, Tensor):
        return made is given.value
    ops = [None if value is None else value.node.op for value in (made, wanted)]
    return all(isinstance(op, Constant) for op in ops) and is_same_array(ops[0].value.array, ops[1].value.array)  # type: ignore[union-attr]


def _filled(argument: Any, inputs: Sequence[Any]) -> Any:
    if isinstance(argument, Ref):
        return inputs[argument.index]
    if isinstance(argument, list | tuple):
        return type(argument)(_filled(item, inputs) for item in argument)
    return argument


# Proposals


def proposes(*classes: type[Op]) -> Callable[[Proposal], Proposal]:
    """Registers a function of an operator and its input types that gives calls, the most readable first."""

    def register(function: Proposal) -> Proposal:
        CANDIDATES.update(dict.fromkeys(classes, function))
        return function

    return register


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
}
REDUCTIONS: dict[type[Op], str] = {
    reduce.ReduceLogSumExp: "logsumexp",
    reduce.ReduceMax: "max",
    reduce.ReduceMean: "mean",
    reduce.ReduceMin: "min",
    reduce.ReduceProd: "prod",
    reduce.ReduceSum: "sum",
}


@proposes(*PLAIN)
def _plain(op: Op, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    function, symbol = PLAIN[type(op)]
    yield FunctionCall(function, tuple(map(Ref, range(len(types)))), {}, symbol)


@proposes(*REDUCTIONS)
def _reduction(op: Any, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    kwargs = {} if len(op.axes) == types[0].rank else {"axis": op.axes[0] if len(op.axes) == 1 else op.axes}
    yield FunctionCall(REDUCTIONS[type(op)], (Ref(0),), kwargs | ({"keepdims": True} if op.keepdims else {}))


@proposes(reduce.ReduceL2)
def _norm(op: reduce.ReduceL2, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    axis = op.axes[0] if len(op.axes) == 1 else op.axes
    yield FunctionCall("norm", (Ref(0),), {"axis": axis} | ({"keepdims": True} if op.keepdims else {}))


@proposes(nn.Softmax, nn.LogSoftmax)
def _softmax(op: Any, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    function = "softmax" if isinstance(op, nn.Softmax) else "log_softmax"
    yield FunctionCall(function, (Ref(0),), {} if op.axis == types[0].rank - 1 else {"axis": op.axis})


@proposes(elementwise.Cast)
def _cast(op: elementwise.Cast, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("cast", (Ref(0), op.dtype.keras_name), {})


@proposes(elementwise.LeakyRelu, elementwise.Elu, elementwise.Celu)
def _with_alpha(op: Any, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    name = {elementwise.LeakyRelu: "negative_slope"}.get(type(op), "alpha")
    function = {elementwise.LeakyRelu: "leaky_relu"}.get(type(op), op.name.lower())
    yield FunctionCall(function, (Ref(0),), {name: op.alpha})


@proposes(elementwise.ThresholdedRelu)
def _threshold(op: elementwise.ThresholdedRelu, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("threshold", (Ref(0), op.alpha, 0), {})


@proposes(elementwise.HardSigmoid)
def _hard_sigmoid(op: elementwise.HardSigmoid, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("hard_sigmoid", (Ref(0),), {})
    yield FunctionCall("sparse_sigmoid", (Ref(0),), {})


@proposes(elementwise.Gelu)
def _gelu(op: elementwise.Gelu, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("gelu", (Ref(0),), {"approximate": op.approximate})


@proposes(elementwise.Shrink)
def _shrink(op: elementwise.Shrink, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("hard_shrink" if op.bias == 0 else "soft_shrink", (Ref(0), op.lambd), {})


@proposes(shape.Reshape)
def _reshape(op: shape.Reshape, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("reshape", (Ref(0), op.shape), {})


@proposes(shape.Transpose)
def _transpose(op: shape.Transpose, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("transpose", (Ref(0), op.permutation), {})


@proposes(shape.Expand)
def _expand(op: shape.Expand, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("broadcast_to", (Ref(0), op.shape), {})


@proposes(shape.Concat)
def _concat(op: shape.Concat, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("concatenate", ([Ref(index) for index in range(len(types))],), {"axis": op.axis})


@proposes(shape.Split)
def _split(op: shape.Split, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    if len(set(op.sizes)) == 1:
        yield FunctionCall("split", (Ref(0), len(op.sizes)), {"axis": op.axis})
    ends: list[Dim] = []
    for size in op.sizes[:-1]:
        ends.append(size + ends[-1] if ends else size)
    yield FunctionCall("split", (Ref(0), ends), {"axis": op.axis})


@proposes(shape.Slice)
def _slice(op: shape.Slice, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    """An index with a slice for each axis; backwards, the end stands for everything down to the front."""
    places = {axis: index for index, axis in enumerate(op.axes)}
    key: list[slice] = []
    for axis in range(max(op.axes, default=-1) + 1):
        if axis not in places:
            key.append(slice(None))
            continue
        index = places[axis]
        start, end, step = op.starts[index], op.ends[index], op.steps[index]
        size = types[0].shape[axis]
        if step < 0:
            key.append(slice(None if start == size - 1 else start, None if end == -1 else end, step))
        else:
            key.append(slice(None if start == 0 else start, None if end == size else end, None if step == 1 else step))
    yield FunctionCall("get_item", (Ref(0), tuple(key)), {})


@proposes(shape.Tile)
def _tile(op: shape.Tile, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("tile", (Ref(0), op.repeats), {})


@proposes(shape.Pad)
def _pad(op: shape.Pad, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    widths = tuple(zip(op.before, op.after, strict=True))
    value = {"constant_values": Ref(1)} if len(types) > 1 else {}
    yield FunctionCall("pad", (Ref(0), widths), value if op.mode == "constant" else {"mode": op.mode})


@proposes(shape.Gather)
def _gather(op: shape.Gather, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("take", (Ref(0), Ref(1)), {"axis": op.axis})


@proposes(shape.CumSum)
def _cum_sum(op: shape.CumSum, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("cumsum", (Ref(0),), {"axis": op.axis})


@proposes(shape.Trilu)
def _trilu(op: shape.Trilu, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("triu" if op.upper else "tril", (Ref(0),), {"k": op.k} if op.k else {})


@proposes(elementwise.Mod)
def _mod(op: elementwise.Mod, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("fmod" if op.fmod else "mod", (Ref(0), Ref(1)), {})


@proposes(linear.MatMul)
def _product(op: Any, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("matmul", (Ref(0), Ref(1)), {}, "@")


@proposes(linear.Einsum)
def _einsum(op: Any, types: Sequence[TensorType]) -> Iterator[FunctionCall]:
    yield FunctionCall("einsum", (op.equation, *map(Ref, range(len(types)))), {})
