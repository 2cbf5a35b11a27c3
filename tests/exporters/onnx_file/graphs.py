"""Graphs that the tests of this folder write, and how they run them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.session import make_session, run_session
from kir.ir.graph import Graph, Origin, Value
from kir.ir.op import Op
from kir.ir.structural import Constant, Data, Input, Output
from kir.ir.types import parse_type
from kir.ops.elementwise import Add, Relu
from kir.ops.linear import Dense
from kir.ops.shape import Reshape

Array = np.ndarray[Any, Any]

OPSETS = (13, 14, 15, 18, 19, 20, 21, 23, 26)


def graph_of(op: Op, *types: str) -> Graph:
    """One operator; its inputs are x0, x1 … and its outputs y0, y1 …"""
    graph = Graph("one")
    values = [graph.add(Input(f"x{i}", parse_type(text))).output for i, text in enumerate(types)]
    for i, output in enumerate(graph.add(op, *values).outputs):
        graph.add(Output(f"y{i}"), output)
    return graph


def weight(graph: Graph, array: Array, label: str | None = None) -> Value:
    return graph.add(Constant(Data(array), label)).output


def mlp(kernels: list[Array] | None = None) -> Graph:
    """Return two Dense layers with weights, in layers of their own."""
    random = np.random.default_rng(0)
    kernels = kernels or [random.normal(size=shape).astype(np.float32) for shape in ((8, 16), (16, 4))]
    graph = Graph("mlp")
    x = graph.add(Input("features", parse_type(f"f32[batch, {kernels[0].shape[0]}]"))).output
    for i, kernel in enumerate(kernels):
        path = f"encoder/dense_{i}"
        bias = np.arange(kernel.shape[1], dtype=np.float32)
        inputs = [x, weight(graph, kernel, f"{path}/kernel"), weight(graph, bias, f"{path}/bias")]
        x = graph.add(Dense(Relu()), *inputs, origin=Origin(path, "Dense")).output
    graph.add(Output("scores"), x)
    return graph


def run(graph: Graph, feeds: dict[str, Array], opset: int | None = None) -> dict[str, Array]:
    """Return the graph's outputs in onnxruntime, after the checker has passed the model."""
    model = to_model_proto(graph, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    return run_session(make_session(model.SerializeToString()), feeds)


def two_outputs() -> Graph:
    """Outputs of one value twice, of an input, of an input under its own name, and of a constant."""
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[batch, 2]"))).output
    total = graph.add(Add(), x, x).output
    constant = weight(graph, np.array([3.0, 4.0], np.float32))
    for label, value in (("a", total), ("b", total), ("copy", x), ("x", x), ("c", constant)):
        graph.add(Output(label), value)
    graph.add(Output("flat"), graph.add(Reshape((product_of(x),)), total).output)
    return graph


def product_of(value: Value) -> Any:
    size: Any = 1
    for dim in value.type.shape:
        size = size * dim
    return size
