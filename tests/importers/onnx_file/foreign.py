"""Core-layer models as other exporters write them, node for node, beside kir's own models with the same weights.

The exporters are too heavy for the tests: tf2onnx 1.17.0 (TensorFlow 2.21), torch.onnx of torch 2.13 (both of its
exporters) and jax2onnx 0.17.1 wrote such files from Keras 3.15 models or torch modules; the builders here do likewise,
with the node types, attributes, constants, opsets and value names' style of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from kir import Input, Model, layers
from kir import backend as K
from kir.ir.op import Array
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.passes.rewrite import constant_array

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
Shape = Sequence[int | str]


@dataclass
class File:
    """A file under construction: `node` and `constant` give the name of a value.

    Args:
        producer: who writes it, and the version.
        opset: of ONNX's operators.
        ir_version: of the file.
    """

    producer: tuple[str, str]
    opset: int
    ir_version: int
    domains: dict[str, int] = field(default_factory=dict)
    inputs: list[ValueInfoProto] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)

    def input(self, name: str, shape: Shape) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, FLOAT, shape))
        return name

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Return a node of one output."""
        return self.node_of(op_type, 1, *inputs, **attributes)[0]

    def node_of(self, op_type: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        number = len(self.nodes)
        outputs = [f"/{op_type}_{number}_output_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name=f"/{op_type}_{number}", **attributes))
        return outputs

    def weight(self, array: Any, name: str = "") -> str:
        """Return an initializer."""
        name = name or f"const_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def constant(self, array: Any) -> str:
        """Return a Constant node."""
        return self.node("Constant", value=numpy_helper.from_array(np.asarray(array)))

    def finish(self, *outputs: str) -> ModelProto:
        """Return the file, with its outputs called y0, y1, …; what shape inference knows of them is stated."""
        names = [f"y{i}" for i in range(len(outputs))]
        self.nodes += [helper.make_node("Identity", [old], [new]) for old, new in zip(outputs, names, strict=True)]
        values = [ValueInfoProto(name=name) for name in names]
        graph = helper.make_graph(self.nodes, "main_graph", self.inputs, values, self.initializers)
        opsets = [helper.make_opsetid(*entry) for entry in {"": self.opset, **self.domains}.items()]
        name, version = self.producer
        made = helper.make_model(
            graph, opset_imports=opsets, producer_name=name, producer_version=version, ir_version=self.ir_version
        )
        from onnx import shape_inference

        inferred = shape_inference.infer_shapes(made)
        del made.graph.output[:]
        made.graph.output.extend(inferred.graph.output)
        return made


def of_torchscript() -> File:
    """torch.onnx.export(dynamo=False) and Keras's `model.export(format="onnx")` on torch, torch 2.13.0."""
    return File(("pytorch", "2.13.0"), 20, 9)


def of_dynamo() -> File:
    """torch.onnx.export(dynamo=True), torch 2.13.0."""
    return File(("pytorch", "2.13.0+cpu"), 20, 10)


def of_tf2onnx(opset: int = 17) -> File:
    """tf2onnx.convert.from_function, tf2onnx 1.17.0."""
    return File(("tf2onnx", "1.17.0"), opset, 8 if opset > 15 else 7, {"ai.onnx.ml": 2})


def of_jax2onnx() -> File:
    """jax2onnx.to_onnx, jax2onnx 0.17.1."""
    return File(("jax2onnx", "0.17.1"), 23, 10)


# torch


def torch_cast(file: File, x: str, times: int = 1) -> str:
    """Keras casts to the compute dtype again and again, and TorchScript writes every cast."""
    for _ in range(times):
        x = file.node("Cast", x, to=FLOAT)
    return x


def torch_size(file: File, x: str, axis: int) -> str:
    """x.size(axis): Shape, Gather."""
    return file.node("Gather", file.node("Shape", x), file.constant(np.int64(axis)), axis=0)


def torch_shape(file: File, *sizes: str | int) -> str:
    """Return a shape of sizes and numbers: Unsqueeze, Concat."""
    parts = [
        file.constant(np.array([size]))
        if isinstance(size, int)
        else file.node("Unsqueeze", size, file.constant(np.array([0])))
        for size in sizes
    ]
    return file.node("Concat", *parts, axis=0)


def torch_dense(file: File, x: str, weights: Sequence[Array]) -> str:
    """Keras's Dense on torch: Cast, MatMul, Cast, Add, Cast."""
    product = file.node("MatMul", torch_cast(file, x), file.weight(weights[0]))
    return torch_cast(file, file.node("Add", torch_cast(file, product), file.weight(weights[1])))


def torch_linear(file: File, x: str, weights: Sequence[Array]) -> str:
    """nn.Linear of a matrix: a Gemm with its kernel turned."""
    kernel, bias = file.weight(weights[0].T), file.weight(weights[1])
    return file.node("Gemm", x, kernel, bias, alpha=1.0, beta=1.0, transA=0, transB=1)


# tf2onnx


def tf_dense(file: File, x: str, weights: Sequence[Array]) -> str:
    """Dense of a matrix: MatMul, Add."""
    return file.node("Add", file.node("MatMul", x, file.weight(weights[0])), file.weight(weights[1]))


def tf_shape(file: File, x: str) -> str:
    """tf.shape: Shape, Cast to int32."""
    return file.node("Cast", file.node("Shape", x), to=INT32)


def tf_tensordot(file: File, x: str, weights: Sequence[Array]) -> str:
    """Dense of three axes: made a matrix, multiplied, and given its axes again."""
    free = file.node("Gather", tf_shape(file, x), file.weight(np.array([0, 1], np.int32)), axis=0)
    units = file.weight(np.array([weights[0].shape[1]], np.int32))
    target = file.node("Cast", file.node("Concat", free, units, axis=0), to=INT64)
    matrix = file.node("Reshape", x, file.weight(np.array([-1, len(weights[0])])))
    product = file.node("MatMul", matrix, file.weight(weights[0]))
    return file.node("Add", file.node("Reshape", product, target), file.weight(weights[1]))


def tf_slice(file: File, x: str, start: int, end: int, axis: int = 0, drop: bool = False) -> str:
    """x[start:end] of an axis: Slice; Squeeze, if the axis goes."""
    axes = file.weight(np.array([axis]))
    part = file.node("Slice", x, file.weight(np.array([start])), file.weight(np.array([end])), axes)
    return file.node("Squeeze", part, axes) if drop else part


def tf_zero_state(file: File, x: str, units: int) -> str:
    """Zeros of (1, batch, units)."""
    batch = tf_slice(file, tf_shape(file, x), 0, 1)
    shape = file.node("Concat", batch, file.weight(np.array([units], np.int32)), axis=0)
    wide = file.node("Expand", file.weight(np.float32(0)), file.node("Cast", shape, to=INT64))
    return file.node("Unsqueeze", wide, file.weight(np.array([0])))


def tf_lstm(file: File, x: str, packed: Sequence[Array]) -> str:
    """Return an LSTM as [time, directions, batch, units]; tf2onnx finds it in the loop of TensorFlow."""
    count, units = len(packed[0]), packed[1].shape[-1]
    state = tf_zero_state(file, x, units)
    if count == 2:
        state = file.node("Concat", state, state, axis=0)
    turned = file.node("Transpose", x, perm=[1, 0, 2])
    weights = [file.weight(array) for array in packed]
    return file.node_of(
        "LSTM",
        3,
        turned,
        *weights,
        "",
        state,
        state,
        activations=["Sigmoid", "Tanh", "Tanh"] * count,
        direction="bidirectional" if count == 2 else "forward",
        hidden_size=units,
    )[0]


LAST = -1, 2**31 - 1


# jax2onnx


def jax_size(file: File, x: str, axis: int) -> str:
    """Return a size as a vector of one: Shape, Gather, Unsqueeze."""
    size = file.node("Gather", file.node("Shape", x), file.weight(np.int64(axis)), axis=0)
    return file.node("Unsqueeze", size, file.weight(np.array([0])))


def jax_reshape(file: File, x: str, *sizes: int) -> str:
    """Return a Reshape that keeps the batch."""
    parts = [file.weight(np.array([size])) for size in sizes]
    return file.node("Reshape", x, file.node("Concat", jax_size(file, x, 0), *parts, axis=0), allowzero=0)


# kir's own models


def dense_weights(model: Model) -> list[list[Array]]:
    """Kernel and bias of every Dense, in order."""
    found = [getattr(layer, "layer", layer) for layer in model.layers]
    return [list(layer.get_weights()) for layer in found if isinstance(layer, layers.Dense)]


@dataclass(frozen=True)
class Case:
    """A model of kir, and the file that an exporter writes of it; both have the same inputs, in order."""

    make: Callable[[], Model]
    write: Callable[[Model], ModelProto]


def sequential(shape: Sequence[int | None], *stack: Any) -> Callable[[], Model]:
    """Return a model of layers that `stack` makes anew, each function one."""

    def make() -> Model:
        x = source = Input(shape=tuple(shape), name="x")
        for make_layer in stack:
            x = make_layer()(x)
        return Model(source, x)

    return make


mlp = sequential(
    (4, 5),
    lambda: layers.Flatten(),
    lambda: layers.Dense(8, activation="relu", bias_initializer="ones"),
    lambda: layers.Dropout(0.2),
    lambda: layers.Dense(3, activation="softmax"),
)


def mlp_of_torchscript(model: Model) -> ModelProto:
    first, second = dense_weights(model)
    file = of_torchscript()
    x = torch_cast(file, file.input("x", ["batch", 4, 5]), 2)
    flat = file.node("Reshape", torch_cast(file, x), torch_shape(file, torch_size(file, x, 0), -1), allowzero=0)
    hidden = file.node("Relu", torch_cast(file, torch_dense(file, flat, first)))
    return file.finish(file.node("Softmax", torch_dense(file, hidden, second), axis=-1))


def mlp_of_dynamo(model: Model) -> ModelProto:
    first, second = dense_weights(model)
    file = of_dynamo()
    flat = file.node("Reshape", file.input("x", ["batch", 4, 5]), file.weight(np.array([-1, 20])), allowzero=1)
    hidden = file.node("Relu", torch_linear(file, flat, first))
    return file.finish(file.node("Softmax", torch_linear(file, hidden, second), axis=-1))


def mlp_of_tf2onnx(opset: int) -> Callable[[Model], ModelProto]:
    def write(model: Model) -> ModelProto:
        first, second = dense_weights(model)
        file = of_tf2onnx(opset)
        flat = file.node("Reshape", file.input("x", ["unk__20", 4, 5]), file.weight(np.array([-1, 20])))
        hidden = file.node("Relu", tf_dense(file, flat, first))
        axis = {} if opset >= 13 else {"axis": 1}
        return file.finish(file.node("Softmax", tf_dense(file, hidden, second), **axis))

    return write


def mlp_of_jax2onnx(model: Model) -> ModelProto:
    first, second = dense_weights(model)
    file = of_jax2onnx()
    flat = jax_reshape(file, file.input("x", ["B", 4, 5]), 20)
    hidden = file.node("Relu", tf_dense(file, flat, first))
    return file.finish(file.node("Softmax", tf_dense(file, hidden, second), axis=1))


# Activations as formulas


def activated(name: str) -> Callable[[], Model]:
    return sequential((6,), lambda: layers.Dense(5, activation=name), lambda: layers.Dense(3))


def formula_file(start: Callable[[], File], formula: Callable[[File, str], str]) -> Callable[[Model], ModelProto]:
    """Dense, a formula, Dense."""

    def write(model: Model) -> ModelProto:
        first, second = dense_weights(model)
        file = start()
        hidden = formula(file, tf_dense(file, file.input("x", ["B", 6]), first))
        return file.finish(tf_dense(file, hidden, second))

    return write


def number(file: File, value: float) -> str:
    return file.weight(np.float32(value))


def mish(file: File, x: str) -> str:
    return file.node("Mul", x, file.node("Tanh", file.node("Softplus", x)))


def hard_silu(file: File, x: str) -> str:
    """relu6(x + 3) / 6 * x: tf2onnx multiplies by float32(1 / 6)."""
    relu6 = file.node("Clip", file.node("Add", x, number(file, 3)), number(file, 0), number(file, 6))
    return file.node("Mul", x, file.node("Mul", relu6, number(file, 1 / 6)))


def hard_tanh(file: File, x: str) -> str:
    return file.node("Max", file.node("Min", x, number(file, 1)), number(file, -1))


def softsign(file: File, x: str) -> str:
    return file.node("Div", x, file.node("Add", file.node("Abs", x), file.constant(np.float32(1))))


def softplus(file: File, x: str) -> str:
    """x itself above 20, as torch computes it."""
    return file.node("Where", file.node("Greater", x, number(file, 20)), x, file.node("Softplus", x))


def erf_gelu(file: File, x: str) -> str:
    """As torch writes it before opset 20."""
    curve = file.node("Erf", file.node("Div", x, number(file, np.sqrt(2))))
    return file.node("Mul", file.node("Mul", x, file.node("Add", curve, number(file, 1))), number(file, 0.5))


def old_torchscript() -> File:
    return File(("pytorch", "2.13.0"), 17, 8)


# Sequences


dense_of_sequences = sequential(
    (None, 6), lambda: layers.Dense(5, activation="relu"), lambda: layers.Dense(3, activation="softmax")
)


def dense_of_tf2onnx(model: Model) -> ModelProto:
    first, second = dense_weights(model)
    file = of_tf2onnx()
    hidden = file.node("Relu", tf_tensordot(file, file.input("x", ["unk__1", "unk__2", 6]), first))
    return file.finish(file.node("Softmax", tf_tensordot(file, hidden, second)))


flattened = sequential((None, 6), lambda: layers.Dense(5), lambda: layers.Flatten())


def flattened_of_torchscript(model: Model) -> ModelProto:
    (weights,) = dense_weights(model)
    file = of_torchscript()
    x = torch_cast(file, file.input("x", ["batch", "time", 6]), 2)
    y = torch_dense(file, x, weights)
    rest = file.node("Mul", torch_size(file, y, 1), torch_size(file, y, 2))
    size = file.node("Cast", file.node("Div", rest, file.constant(np.int64(1))), to=INT64)
    return file.finish(file.node("Reshape", y, torch_shape(file, torch_size(file, y, 0), size), allowzero=0))


repeated = sequential(
    (6,), lambda: layers.Dense(4, activation="tanh"), lambda: layers.RepeatVector(3), lambda: layers.Dense(2)
)


def repeated_of_jax2onnx(model: Model) -> ModelProto:
    """RepeatVector as a broadcast: Reshape, Reshape, Expand, Reshape."""
    first, second = dense_weights(model)
    file = of_jax2onnx()
    hidden = file.node("Tanh", tf_dense(file, file.input("x", ["B", 6]), first))
    row = jax_reshape(file, hidden, 1, 4)
    shape = file.node("Shape", row)
    batch = file.node("Gather", shape, file.weight(np.array([0])), axis=0)
    wide = file.node("Concat", batch, *[file.weight(np.array([size])) for size in (1, 3, 4)], axis=0)
    narrow = file.node("Concat", batch, *[file.weight(np.array([size])) for size in (1, 1, 4)], axis=0)
    expanded = file.node("Expand", file.node("Reshape", row, narrow), wide)
    size = file.node("Gather", file.node("Shape", expanded), file.weight(np.array([0])), axis=0)
    vector = file.node("Unsqueeze", file.node("Squeeze", size, file.weight(np.array([0]))), file.weight(np.array([0])))
    target = file.node("Concat", vector, file.weight(np.array([3])), file.weight(np.array([4])), axis=0)
    return file.finish(tf_dense(file, file.node("Reshape", expanded, target), second))


def repeated_of_tf2onnx(model: Model) -> ModelProto:
    """tf.repeat: Reshape, Unsqueeze, Tile, Reshape."""
    first, second = dense_weights(model)
    file = of_tf2onnx()
    hidden = file.node("Tanh", tf_dense(file, file.input("x", ["unk__1", 6]), first))
    row = file.node("Reshape", hidden, file.weight(np.array([-1, 1, 4])))
    shape = tf_shape(file, row)
    tiled = file.node(
        "Tile", file.node("Unsqueeze", row, file.weight(np.array([2]))), file.weight(np.array([1, 1, 3, 1]))
    )
    count = file.weight(np.array([3], np.int32))
    target = file.node("Concat", tf_slice(file, shape, 0, 1), count, tf_slice(file, shape, 2, 3), axis=0)
    x = file.node("Reshape", tiled, file.node("Cast", target, to=INT64))
    return file.finish(tf_tensordot(file, x, second))


reshaped = sequential(
    (4, 6),
    lambda: layers.Reshape((3, 8)),
    lambda: layers.Permute((2, 1)),
    lambda: layers.Dense(5, activation="relu"),
    lambda: layers.Flatten(),
    lambda: layers.Dense(2),
)


def reshaped_of_torchscript(model: Model) -> ModelProto:
    first, second = dense_weights(model)
    file = of_torchscript()
    x = torch_cast(file, file.input("x", ["batch", 4, 6]), 2)
    target = torch_shape(file, torch_size(file, x, 0), 3, 8)
    turned = file.node("Transpose", file.node("Reshape", x, target, allowzero=0), perm=[0, 2, 1])
    hidden = file.node("Relu", torch_cast(file, torch_dense(file, turned, first)))
    rest = file.node("Mul", torch_size(file, hidden, 1), torch_size(file, hidden, 2))
    flat = file.node("Reshape", hidden, torch_shape(file, torch_size(file, hidden, 0), rest), allowzero=0)
    return file.finish(torch_dense(file, flat, second))


distributed = sequential((7, 6), lambda: layers.TimeDistributed(layers.Dense(5, activation="relu")))


def distributed_file(start: Callable[[], File], slices: bool) -> Callable[[Model], ModelProto]:
    """Step by step; tf2onnx slices and squeezes, the others gather."""

    def write(model: Model) -> ModelProto:
        (weights,) = dense_weights(model)
        file = start()
        turned = file.node("Transpose", file.input("x", ["B", 7, 6]), perm=[1, 0, 2])
        kernel, bias, front = file.weight(weights[0]), file.weight(weights[1]), file.weight(np.array([0]))
        parts = []
        for i in range(7):
            step = (
                tf_slice(file, turned, i, i + 1, drop=True)
                if slices
                else file.node("Gather", turned, file.constant(np.int64(i)), axis=0)
            )
            y = file.node("Relu", file.node("Add", file.node("MatMul", step, kernel), bias))
            parts.append(file.node("Unsqueeze", y, front))
        return file.finish(file.node("Transpose", file.node("Concat", *parts, axis=0), perm=[1, 0, 2]))

    return write


# Recurrent layers


def recurrent(layer: Callable[[], Any], *more: Callable[[], Any]) -> Callable[[], Model]:
    return sequential((None, 6), layer, *more)


def find_recurrent(model: Model) -> list[list[Array]]:
    """Return the weights of every recurrent layer in ONNX's layout, as kir packs them for its operators."""
    nodes = [node for node in model.to_graph().order() if isinstance(node.op, RNN | GRU | LSTM)]
    return [[array for value in node.inputs[1:4] if (array := constant_array(value)) is not None] for node in nodes]


last_of_lstm = recurrent(lambda: layers.LSTM(4), lambda: layers.Dense(2))


def last_of_tf2onnx(model: Model) -> ModelProto:
    """The last step is sliced off the sequence, and the state is never read."""
    file = of_tf2onnx()
    x = file.input("x", ["unk__1", "unk__2", 6])
    y = file.node("Squeeze", tf_lstm(file, x, find_recurrent(model)[0]), file.weight(np.array([1])))
    return file.finish(tf_dense(file, tf_slice(file, y, *LAST, drop=True), dense_weights(model)[0]))


two_lstms = recurrent(lambda: layers.LSTM(4, return_sequences=True), lambda: layers.LSTM(3))


def two_lstms_of_tf2onnx(model: Model) -> ModelProto:
    file = of_tf2onnx()
    value = file.input("x", ["unk__1", "unk__2", 6])
    first, second = find_recurrent(model)
    y = file.node("Squeeze", tf_lstm(file, value, first), file.weight(np.array([1])))
    between = file.node("Transpose", y, perm=[1, 0, 2])
    z = file.node("Squeeze", tf_lstm(file, between, second), file.weight(np.array([1])))
    return file.finish(tf_slice(file, z, *LAST, drop=True))


def both_directions(**arguments: Any) -> Callable[[], Model]:
    sequences = arguments.pop("sequences", False)
    return recurrent(lambda: layers.Bidirectional(layers.LSTM(4, return_sequences=sequences), **arguments))


def both_of_tf2onnx(sequences: bool, join: Callable[[File, str, str], str]) -> Callable[[Model], ModelProto]:
    """The directions are sliced apart, squeezed and joined."""

    def write(model: Model) -> ModelProto:
        file = of_tf2onnx()
        y = tf_lstm(file, file.input("x", ["unk__1", "unk__2", 6]), find_recurrent(model)[0])
        forward, backward = (tf_slice(file, y, i, i + 1, 1, drop=True) for i in range(2))
        if sequences:
            return file.finish(file.node("Transpose", join(file, forward, backward), perm=[1, 0, 2]))
        last, first = tf_slice(file, forward, *LAST, drop=True), tf_slice(file, backward, 0, 1, drop=True)
        return file.finish(join(file, last, first))

    return write


def concat_last(rank: int) -> Callable[[File, str, str], str]:
    return lambda file, a, b: file.node("Concat", a, b, axis=rank - 1)


def add_both(file: File, a: str, b: str) -> str:
    return file.node("Add", a, b)


def torch_state(file: File, x: str, count: int, units: int) -> str:
    """zeros(count, x.size(0), units)."""
    return file.node(
        "ConstantOfShape",
        torch_shape(file, count, torch_size(file, x, 0), units),
        value=numpy_helper.from_array(np.zeros(1, np.float32)),
    )


def last_of_torchscript(op_type: str) -> Callable[[Model], ModelProto]:
    """y[:, -1, :] of nn.LSTM, nn.GRU or nn.RNN with batch_first=True."""

    def write(model: Model) -> ModelProto:
        file = of_torchscript()
        x = file.input("x", ["batch", "time", 6])
        state = torch_state(file, x, 1, 4)
        states = [state] * (2 if op_type == "LSTM" else 1)
        weights = [file.weight(array) for array in find_recurrent(model)[0]]
        of_type: dict[str, dict[str, Any]] = {"GRU": {"linear_before_reset": 1}, "RNN": {"activations": ["Tanh"]}}
        attributes = of_type.get(op_type, {})
        turned = file.node("Transpose", x, perm=[1, 0, 2])
        y = file.node_of(op_type, len(states) + 1, turned, *weights, "", *states, hidden_size=4, **attributes)[0]
        back = file.node("Transpose", file.node("Squeeze", y, file.constant(np.array([1]))), perm=[1, 0, 2])
        last = file.node("Gather", back, file.constant(np.int64(-1)), axis=1)
        return file.finish(torch_linear(file, last, dense_weights(model)[0]))

    return write


def last_of_dynamo(model: Model) -> ModelProto:
    """Return the same of the newer exporter, which merges the axis of directions into that of units."""
    file = of_dynamo()
    x = file.input("x", ["batch", "time", 6])
    one, zero, two, three, four = (file.weight(np.array([n])) for n in (1, 0, 2, 3, 4))
    batch = file.node("Shape", x, start=0, end=1)
    zeros = file.node("Expand", file.weight(np.float32(0)), file.node("Concat", one, batch, four, axis=0))
    state = file.node("Slice", zeros, zero, one, zero)
    weights = [file.weight(array) for array in find_recurrent(model)[0]]
    turned = file.node("Transpose", x, perm=[1, 0, 2])
    attributes = {"hidden_size": 4, "direction": "forward", "input_forget": 0, "layout": 0}
    y = file.node("LSTM", turned, *weights, "", state, state, **attributes)
    y = file.node("Transpose", y, perm=[0, 2, 1, 3])
    shape = file.node("Shape", y, start=0)
    parts = [file.node("Slice", shape, *bounds) for bounds in ((zero, one), (one, two), (two, three), (three, four))]
    units = file.node("Reshape", file.node("Mul", *parts[2:]), file.weight(np.array([-1])), allowzero=0)
    merged = file.node("Reshape", y, file.node("Concat", *parts[:2], units, axis=0), allowzero=0)
    back = file.node("Transpose", merged, perm=[1, 0, 2])
    last = file.node("Gather", back, file.weight(np.int64(-1)), axis=1)
    return file.finish(torch_linear(file, last, dense_weights(model)[0]))


def states_of_torchscript(model: Model) -> ModelProto:
    """cat([h[-2], h[-1]], -1) of a bidirectional nn.LSTM."""
    file = of_torchscript()
    x = file.input("x", ["batch", "time", 6])
    state = torch_state(file, x, 2, 4)
    weights = [file.weight(array) for array in find_recurrent(model)[0]]
    turned = file.node("Transpose", x, perm=[1, 0, 2])
    results = file.node_of("LSTM", 3, turned, *weights, "", state, state, direction="bidirectional", hidden_size=4)
    parts = [file.node("Gather", results[1], file.constant(np.int64(i)), axis=0) for i in (-2, -1)]
    return file.finish(file.node("Concat", *parts, axis=-1))


# Merging, and mathematics


def antirectifier() -> Model:
    x = Input(shape=(6,), name="x")

    def antirectify(h: Any) -> Any:
        h = h - K.mean(h, axis=1, keepdims=True)
        h = K.l2_normalize(h, axis=1)
        return K.concatenate([K.relu(h), K.relu(-h)], axis=1)

    h = layers.Lambda(antirectify)(layers.Dense(5)(x))
    return Model(x, layers.Dense(3)(h))


def antirectifier_of_jax2onnx(model: Model) -> ModelProto:
    """l2_normalize as x * min(1 / sqrt(sum of squares), 1e6)."""
    first, second = dense_weights(model)
    file = of_jax2onnx()
    h = tf_dense(file, file.input("x", ["B", 6]), first)
    axes = file.weight(np.array([1]))
    h = file.node("Sub", h, file.node("ReduceMean", h, axes, keepdims=1))
    length = file.node("Sqrt", file.node("ReduceSumSquare", h, axes, keepdims=1))
    inverse = file.node("Min", file.node("Div", number(file, 1), length), number(file, 1e6))
    h = file.node("Mul", h, inverse)
    both = file.node("Concat", file.node("Relu", h), file.node("Relu", file.node("Neg", h)), axis=1)
    return file.finish(tf_dense(file, both, second))


def antirectifier_of_torchscript(model: Model) -> ModelProto:
    """F.normalize: ReduceL2, Clip, Shape, Expand, Div."""
    first, second = dense_weights(model)
    file = of_torchscript()
    h = torch_linear(file, file.input("x", ["batch", 6]), first)
    h = file.node("Sub", h, file.node("ReduceMean", h, file.constant(np.array([1])), keepdims=1))
    length = file.node("ReduceL2", h, file.constant(np.array([1])), keepdims=1)
    length = file.node("Clip", length, file.constant(np.float32(1e-6)))
    h = file.node("Div", h, file.node("Expand", length, file.node("Shape", h)))
    both = file.node("Concat", file.node("Relu", h), file.node("Relu", file.node("Neg", h)), axis=1)
    return file.finish(torch_linear(file, both, second))


def merged() -> Model:
    a, b = Input(shape=(5,), name="a"), Input(shape=(6,), name="b")
    hidden = [layers.Dense(4)(a), layers.Dense(4, activation="relu")(b)]
    return Model([a, b], layers.Dense(2)(layers.Average()(hidden)))


def merged_file(start: Callable[[], File]) -> Callable[[Model], ModelProto]:
    def write(model: Model) -> ModelProto:
        first, second, last = dense_weights(model)
        file = start()
        left = tf_dense(file, file.input("a", ["B", 5]), first)
        right = file.node("Relu", tf_dense(file, file.input("b", ["B", 6]), second))
        average = file.node("Div", file.node("Add", left, right), number(file, 2))
        return file.finish(tf_dense(file, average, last))

    return write


def pick_last() -> Model:
    x = Input(shape=(7, 6), name="x")
    h = layers.Lambda(lambda h: h[:, -1, :])(layers.Dense(5)(x))
    return Model(x, layers.Dense(3)(h))


def pick_last_of_tf2onnx(model: Model) -> ModelProto:
    """Return a strided slice over all axes."""
    first, second = dense_weights(model)
    file = of_tf2onnx()
    h = tf_tensordot(file, file.input("x", ["unk__1", 7, 6]), first)
    bounds = [np.array([0, -1, 0]), np.array([2**31 - 1] * 3), np.array([0, 1, 2])]
    part = file.node("Slice", h, *map(file.weight, bounds))
    return file.finish(tf_dense(file, file.node("Squeeze", part, file.weight(np.array([1]))), second))


def pick_last_of_jax2onnx(model: Model) -> ModelProto:
    first, second = dense_weights(model)
    file = of_jax2onnx()
    h = tf_dense(file, file.input("x", ["B", 7, 6]), first)
    turned = file.node("Transpose", h, perm=[1, 0, 2])
    last = file.node("Gather", turned, file.weight(np.int64(6)), axis=0)
    return file.finish(tf_dense(file, last, second))


CASES = {
    "MLP, torchscript": Case(mlp, mlp_of_torchscript),
    "MLP, dynamo": Case(mlp, mlp_of_dynamo),
    "MLP, tf2onnx, opset 8": Case(mlp, mlp_of_tf2onnx(8)),
    "MLP, tf2onnx, opset 13": Case(mlp, mlp_of_tf2onnx(13)),
    "MLP, tf2onnx, opset 17": Case(mlp, mlp_of_tf2onnx(17)),
    "MLP, jax2onnx": Case(mlp, mlp_of_jax2onnx),
    "mish, tf2onnx": Case(activated("mish"), formula_file(of_tf2onnx, mish)),
    "hard_silu, tf2onnx": Case(activated("hard_silu"), formula_file(of_tf2onnx, hard_silu)),
    "hard_tanh, tf2onnx": Case(activated("hard_tanh"), formula_file(of_tf2onnx, hard_tanh)),
    "softsign, torchscript": Case(activated("softsign"), formula_file(of_torchscript, softsign)),
    "softplus, dynamo": Case(activated("softplus"), formula_file(of_dynamo, softplus)),
    "gelu, torchscript": Case(
        sequential(
            (6,), lambda: layers.Dense(5, activation=lambda x: K.gelu(x, approximate=False)), lambda: layers.Dense(3)
        ),
        formula_file(old_torchscript, erf_gelu),
    ),
    "Dense of sequences, tf2onnx": Case(dense_of_sequences, dense_of_tf2onnx),
    "Flatten of sequences, torchscript": Case(flattened, flattened_of_torchscript),
    "RepeatVector, jax2onnx": Case(repeated, repeated_of_jax2onnx),
    "RepeatVector, tf2onnx": Case(repeated, repeated_of_tf2onnx),
    "Reshape and Permute, torchscript": Case(reshaped, reshaped_of_torchscript),
    "TimeDistributed, tf2onnx": Case(distributed, distributed_file(of_tf2onnx, slices=True)),
    "TimeDistributed, jax2onnx": Case(distributed, distributed_file(of_jax2onnx, slices=False)),
    "TimeDistributed, torchscript": Case(distributed, distributed_file(of_torchscript, slices=False)),
    "LSTM, tf2onnx": Case(last_of_lstm, last_of_tf2onnx),
    "LSTM, torchscript": Case(last_of_lstm, last_of_torchscript("LSTM")),
    "LSTM, dynamo": Case(last_of_lstm, last_of_dynamo),
    "GRU, torchscript": Case(recurrent(lambda: layers.GRU(4), lambda: layers.Dense(2)), last_of_torchscript("GRU")),
    "SimpleRNN, torchscript": Case(
        recurrent(lambda: layers.SimpleRNN(4), lambda: layers.Dense(2)), last_of_torchscript("RNN")
    ),
    "two LSTMs, tf2onnx": Case(two_lstms, two_lstms_of_tf2onnx),
    "Bidirectional, tf2onnx": Case(both_directions(), both_of_tf2onnx(False, concat_last(2))),
    "Bidirectional, torchscript": Case(both_directions(), states_of_torchscript),
    "Bidirectional sequences, tf2onnx": Case(both_directions(sequences=True), both_of_tf2onnx(True, concat_last(3))),
    "Bidirectional sum, tf2onnx": Case(
        both_directions(sequences=True, merge_mode="sum"), both_of_tf2onnx(True, add_both)
    ),
    "antirectifier, jax2onnx": Case(antirectifier, antirectifier_of_jax2onnx),
    "antirectifier, torchscript": Case(antirectifier, antirectifier_of_torchscript),
    "Average, tf2onnx": Case(merged, merged_file(of_tf2onnx)),
    "Average, jax2onnx": Case(merged, merged_file(of_jax2onnx)),
    "last step, tf2onnx": Case(pick_last, pick_last_of_tf2onnx),
    "last step, jax2onnx": Case(pick_last, pick_last_of_jax2onnx),
}
