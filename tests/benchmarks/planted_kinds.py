"""Kinds of errors to plant in an ONNX file: what a bug of an exporter, or a hand that slips, makes of it.

A kind is a function that lists all changes of that kind that a file admits. A change is not applied before it is
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from kir.ir.op import Array
from tests.benchmarks.planted_files import Change, File
from tests.benchmarks.planted_values import (
    clipped,
    relu_for_relu6,
    round_half_up,
    scaled,
    through_float16,
    wrong_from_element,
    wrong_from_step,
)

MASKS = (TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL)

Kind = Callable[[File, np.random.Generator], Iterator[Change]]


# Weights


def median_weight(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """The median of all elements but zeros, by magnitude, off by 1e-5 of itself."""
    for name, array in file.weights():
        order = np.argsort(np.abs(array), axis=None)
        order = order[array.ravel()[order] != 0]
        if order.size and np.isfinite(array).all():
            where = np.unravel_index(order[order.size // 2], array.shape)
            yield file.change_constant(
                name, "the median off by 1e-5 of itself", partial(_times, where=where, factor=1.00001)
            )


def any_weight(file: File, rng: np.random.Generator) -> Iterator[Change]:
    for name, array in file.weights():
        where = np.unravel_index(rng.integers(array.size), array.shape)
        factor = float(rng.choice((0.0, -1.0, 1.5, 1.001, 1.0001)))
        at = tuple(int(index) for index in where)
        yield file.change_constant(name, f"element {at} times {factor:g}", partial(_times, where=where, factor=factor))


def _times(array: Array, where: Any, factor: float) -> Array:
    array[where] = array[where] * np.asarray(factor, array.dtype)
    return array


def integer_constant(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """An element of a shape, of axes, of starts or ends off by one."""
    for name, array in file.constants.items():
        if array.dtype.kind == "i" and array.size:
            where = np.unravel_index(rng.integers(array.size), array.shape)
            for step in (1, -1):
                yield file.change_constant(name, f"an element {step:+d}", partial(_plus, where=where, step=step))


def _plus(array: Array, where: Any, step: int) -> Array:
    array[where] += step
    return array


def scalar_constant(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """A threshold, a limit or a factor, a little off or far."""
    for name, array in file.constants.items():
        if array.dtype.kind == "f" and array.size == 1:
            yield file.change_constant(name, "times 1.001 plus 1e-6", lambda a: (a * 1.001 + 1e-6).astype(a.dtype))
            yield file.change_constant(name, "half of it plus 1", lambda a: (a / 2 + 1).astype(a.dtype))


def rows_swapped(file: File, rng: np.random.Generator) -> Iterator[Change]:
    for name, array in file.weights():
        axes = [axis for axis, size in enumerate(array.shape) if size > 1]
        if array.ndim > 1 and axes:
            axis = int(rng.choice(axes))
            a, b = (int(index) for index in rng.choice(array.shape[axis], 2, replace=False))
            what = f"{a} and {b} of axis {axis} swapped"
            yield file.change_constant(name, what, partial(_swap, axis=axis, a=a, b=b))


def _swap(array: Array, axis: int, a: int, b: int) -> Array:
    order = np.arange(array.shape[axis])
    order[[a, b]] = order[[b, a]]
    return np.ascontiguousarray(array.take(order, axis))


def bias_dropped(file: File, rng: np.random.Generator) -> Iterator[Change]:
    for index, node in enumerate(file.nodes):
        if node.op_type in ("Gemm", "Conv", "ConvTranspose") and len(node.input) == 3:
            yield file.change_node(index, "its bias dropped", _drop_last_input)
        elif node.op_type in ("LSTM", "GRU", "RNN") and len(node.input) > 3 and node.input[3] in file.constants:
            yield file.change_constant(node.input[3], "all zeros", np.zeros_like)
        elif node.op_type == "Add":
            for name in node.input:
                if name in file.constants and file.constants[name].ndim == 1:
                    yield file.change_constant(name, "all zeros", np.zeros_like)


def _drop_last_input(node: NodeProto) -> None:
    del node.input[-1]


def rounded_weights(file: File, rng: np.random.Generator) -> Iterator[Change]:
    for name, array in file.weights():
        if array.dtype == np.float32:
            yield file.change_constant(name, "rounded to float16", lambda a: a.astype(np.float16).astype(np.float32))


def hidden_noise(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """Noise on the first kernels: for models whose outputs are saturated, dead or NaN."""
    kernels = [name for name, array in file.weights() if array.ndim > 1]
    seed = int(rng.integers(1 << 30))
    for name in kernels[:-1] or kernels:
        yield file.change_constant(name, "noise of 1 % on every element", lambda a: _noisy(a, seed))


def _noisy(array: Array, seed: int) -> Array:
    return (array * (1 + 0.01 * np.random.default_rng(seed).standard_normal(array.shape))).astype(array.dtype)


# Attributes


def _each(values: list[int], step: int) -> list[list[int]]:
    """Return the list with one of its elements changed, for each."""
    return [[*values[:index], value + step, *values[index + 1 :]] for index, value in enumerate(values)]


def _other_pads(pads: list[int], rank: int) -> list[list[int]]:
    """Return the padding moved from one side to the other, and one more."""
    half, found = len(pads) // 2, _each(pads, 1)
    for axis in range(half):
        for taken, given in ((axis, axis + half), (axis + half, axis)):
            if pads[taken] > 0:
                moved = list(pads)
                moved[taken] -= 1
                moved[given] += 1
                found.append(moved)
    return found


def _other_perms(perm: list[int], rank: int) -> list[list[int]]:
    found = []
    for a in range(len(perm)):
        for b in range(a):
            swapped = list(perm)
            swapped[a], swapped[b] = swapped[b], swapped[a]
            found.append(swapped)
    return found


def _other_axes(axis: int, rank: int) -> list[int]:
    return [other for other in range(rank) if other != axis % max(rank, 1)]


def _other_activations(names: list[bytes], rank: int) -> list[list[bytes]]:
    others = {b"Sigmoid": b"HardSigmoid", b"Tanh": b"Softsign", b"Relu": b"Tanh"}
    return [[*names[:i], others[name], *names[i + 1 :]] for i, name in enumerate(names) if name in others]


def _flipped(value: int, rank: int) -> list[int]:
    return [1 - value]


def _scaled(value: float, rank: int) -> list[float]:
    return [value * 1.5, value * 1.001]


Others = Callable[[Any, int], Iterable[Any]]
ATTRIBUTES: dict[str, dict[str, Others]] = {
    "dilation": {"dilations": lambda value, rank: _each(value, 1)},
    "padding": {"pads": _other_pads, "mode": lambda value, rank: [b"reflect", b"edge", b"nearest", b"cubic"]},
    "stride": {
        "strides": lambda value, rank: [other for step in (1, -1) for other in _each(value, step) if min(other) > 0]
    },
    "axis": {"axis": _other_axes, "batch_dims": lambda value, rank: [0]},
    "epsilon": {"epsilon": lambda value, rank: [value * 10, value / 10, value * 1.1]},
    "alpha": {"alpha": _scaled, "beta": _scaled, "gamma": _scaled},
    "direction": {"direction": lambda value, rank: {b"forward": [b"reverse"], b"reverse": [b"forward"]}.get(value, [])},
    "transB": {"transB": _flipped, "transA": _flipped},
    "keepdims": {"keepdims": _flipped},
    "perm": {"perm": _other_perms},
    "activation of a cell": {"activations": _other_activations, "linear_before_reset": _flipped},
    "other attribute": {
        "approximate": lambda value, rank: [b"tanh" if value == b"none" else b"none"],
        "exclusive": _flipped,
        "reverse": _flipped,
        "largest": _flipped,
        "count_include_pad": _flipped,
        "reduction": lambda value, rank: [b"max", b"mul", b"none"],
        "coordinate_transformation_mode": lambda value, rank: [b"asymmetric", b"align_corners"],
        "to": lambda value, rank: [TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT],
        "start": lambda value, rank: [value - 1, value + 1],
        "end": lambda value, rank: [value - 1, value + 1],
        "value": lambda value, rank: [numpy_helper.from_array(numpy_helper.to_array(value) + 1, "value")],
    },
}
# What is not written where it has its default.
DEFAULTS: dict[str, dict[str, Any]] = {
    "Gemm": {"transA": 0, "transB": 0, "alpha": 1.0, "beta": 1.0},
    "LSTM": {"layout": 0},
    "GRU": {"layout": 0},
}


def attribute_kind(others: dict[str, Others]) -> Kind:
    """Return the kind that gives attributes other values."""

    def kind(file: File, rng: np.random.Generator) -> Iterator[Change]:
        for index, node in enumerate(file.nodes):
            written = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            values = DEFAULTS.get(node.op_type, {}) | written
            rank = len(file.shape(node.input[0]) or ()) if node.input else 0
            for name in values.keys() & others.keys():
                for value in others[name](values[name], rank):
                    yield file.change_node(index, f"{name} {_brief(value)}", partial(_set, name=name, value=value))

    return kind


def _brief(value: Any) -> str:
    return "other" if isinstance(value, TensorProto) else str(value)


def _set(node: NodeProto, name: str, value: Any) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def dilated_in_place(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """A dilation that is one more, with as much more padding, so that shapes stay."""
    for index, node in enumerate(file.nodes):
        values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type != "Conv" or max(values["kernel_shape"]) == 1:
            continue

        def edit(node: NodeProto, values: dict[str, Any] = values) -> None:
            half = len(values["kernel_shape"])
            more = [size - 1 for size in values["kernel_shape"]]
            pads = list(values["pads"])
            for axis in range(half):
                ahead = more[axis] if pads[axis] and not pads[axis + half] else more[axis] // 2
                pads[axis] += ahead
                pads[axis + half] += more[axis] - ahead
            _set(node, "dilations", [dilation + 1 for dilation in values["dilations"]])
            _set(node, "pads", pads)

        yield file.change_node(index, "dilated once more, shapes as before", edit)


def other_layout(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """Elements are read in another layout, by a Reshape, where a Transpose should move them."""
    for index, node in enumerate(file.nodes):
        shape = [size if isinstance(size, int) else -1 for size in file.shape(node.output[0]) or ()]
        if node.op_type == "Transpose" and shape.count(-1) == 1:
            data = numpy_helper.from_array(np.array(shape), "planted/shape")
            yield file.change_node(index, f"Reshape to {shape} for Transpose", _read_as_it_lies, data)


def _read_as_it_lies(node: NodeProto) -> None:
    node.op_type = "Reshape"
    del node.attribute[:]
    node.input.append("planted/shape")


# Operators

SWAPS: dict[str, dict[str, tuple[str, ...]]] = {
    "comparison": {
        "Greater": ("GreaterOrEqual", "Less"),
        "GreaterOrEqual": ("Greater",),
        "Less": ("LessOrEqual",),
        "LessOrEqual": ("Less",),
        "Equal": ("GreaterOrEqual", "LessOrEqual"),
    },
    "operator": {
        "Add": ("Sub",),
        "Sub": ("Add",),
        "Mul": ("Div", "Add"),
        "Div": ("Mul",),
        "Max": ("Min",),
        "Min": ("Max",),
        "And": ("Or",),
        "Or": ("And",),
        "Sigmoid": ("HardSigmoid",),
        "HardSigmoid": ("Sigmoid",),
        "Tanh": ("Softsign",),
        "Relu": ("Elu", "LeakyRelu", "Softplus", "Abs"),
        "LeakyRelu": ("Elu", "Relu"),
        "Elu": ("Selu", "Relu", "LeakyRelu"),
        "Softplus": ("Relu", "Elu"),
        "Softmax": ("LogSoftmax", "Sigmoid"),
        "LogSoftmax": ("Softmax",),
        "ReduceSum": ("ReduceMean",),
        "ReduceMean": ("ReduceSum", "ReduceMax"),
        "ReduceL2": ("ReduceL1", "ReduceSumSquare"),
        "ReduceMax": ("ReduceMean",),
        "MaxPool": ("AveragePool",),
        "AveragePool": ("MaxPool",),
        "Round": ("Floor", "Ceil"),
    },
}


def swap_kind(swaps: dict[str, tuple[str, ...]]) -> Kind:
    """Return the kind that puts one operator in the place of another."""

    def kind(file: File, rng: np.random.Generator) -> Iterator[Change]:
        for index, node in enumerate(file.nodes):
            for other in swaps.get(node.op_type, ()):
                yield file.change_node(
                    index, f"{other} for {node.op_type}", partial(_become, op_type=other, opset=file.opset)
                )

    return kind


def _become(node: NodeProto, op_type: str, opset: int) -> None:
    node.op_type = op_type
    known = onnx.defs.get_schema(op_type, opset).attributes
    kept = [attribute for attribute in node.attribute if attribute.name in known]
    del node.attribute[:]
    node.attribute.extend(kept)


def masked_if_all(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """A step is masked if any of its features is, in place of all; or the other way round."""
    others = {"ReduceMax": "ReduceMin", "ReduceMin": "ReduceMax", "And": "Or", "Or": "And"}
    for index, node in enumerate(file.nodes):
        if node.op_type in others and file.types.get(node.input[0], (0, ()))[0] in MASKS:
            other = others[node.op_type]
            yield file.change_node(
                index, f"{other} for {node.op_type}", partial(_become, op_type=other, opset=file.opset)
            )


def operands_swapped(file: File, rng: np.random.Generator) -> Iterator[Change]:
    ordered = ("Sub", "Div", "Pow", "MatMul", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Concat", "PRelu")
    for index, node in enumerate(file.nodes):
        if node.op_type in ordered and len(node.input) > 1:
            yield file.change_node(index, "operands swapped", lambda n: _exchange(n.input, 0, 1))
        elif node.op_type == "Where":
            yield file.change_node(index, "operands swapped", lambda n: _exchange(n.input, 1, 2))


def _exchange(names: Any, a: int, b: int) -> None:
    names[a], names[b] = names[b], names[a]


def node_left_out(file: File, rng: np.random.Generator) -> Iterator[Change]:
    for index, node in enumerate(file.nodes):
        shapes = {file.types.get(name) for name in (node.input[0], *node.output)}
        if len(shapes) == 1 and None not in shapes and len(node.output) == 1:
            yield file.change_node(index, "left out", _to_identity)


def _to_identity(node: NodeProto) -> None:
    node.op_type = "Identity"
    del node.input[1:], node.attribute[:]


def inputs_exchanged(file: File, rng: np.random.Generator) -> Iterator[Change]:
    """A node reads another value of the same type, of the nearest before it."""
    for index, node in enumerate(file.nodes):
        known = [name for earlier in file.nodes[max(0, index - 8) : index] for name in earlier.output]
        known += [entry.name for entry in file.model.graph.input]
        for place, name in enumerate(node.input):
            alike = [other for other in known if other != name and file.types.get(other) == file.types.get(name)]
            if name not in file.constants and name in file.types and alike:
                other = str(rng.choice(alike))
                yield file.change_node(index, f"reads {other} for {name}", partial(_read, place=place, name=other))


def _read(node: NodeProto, place: int, name: str) -> None:
    node.input[place] = name


KINDS: dict[str, Kind] = {
    "median weight": median_weight,
    "any weight": any_weight,
    "integer constant": integer_constant,
    "scalar constant": scalar_constant,
    "rows swapped": rows_swapped,
    "bias dropped": bias_dropped,
    "weights through float16": rounded_weights,
    **{name: attribute_kind(others) for name, others in ATTRIBUTES.items()},
    "dilation, same shapes": dilated_in_place,
    "layout": other_layout,
    **{name: swap_kind(swaps) for name, swaps in SWAPS.items()},
    "mask if any for if all": masked_if_all,
    "round half up": round_half_up,
    "clip at 100": clipped,
    "relu for relu6": relu_for_relu6,
    "operands swapped": operands_swapped,
    "node left out": node_left_out,
    "other input": inputs_exchanged,
    "values through float16": through_float16,
    "values scaled": scaled,
    "from step 40 on": wrong_from_step,
    "from batch element 9 on": wrong_from_element,
}
# The kinds of files whose outputs show little: see the conditions of `planted_models`.
HIDDEN_KINDS: dict[str, Kind] = {
    "hidden: noise": hidden_noise,
    "hidden: median weight": median_weight,
    "hidden: rows swapped": rows_swapped,
}
